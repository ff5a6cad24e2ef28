import { Remote, type RemoteOptions, type Transfer } from '../../common/index.js';

/** Returns another URL for one that the server refuses. */
type Refresh = (url: string, status: number) => Promise<string>;

const MOST_REFRESHES = 3;

/** A file whose URL is replaced when the server refuses it, such as one with a signature. */
export class RefreshingRemote extends Remote {
  readonly #refresh: Refresh | undefined;
  #refreshing: Promise<string> | undefined;

  constructor(options: RemoteOptions, refresh: Refresh | undefined) {
    super(options);
    this.#refresh = refresh;
  }

  protected override async refused(transfer: Transfer, times: number): Promise<void> {
    const { url, response } = transfer;
    const { status } = response;
    const unauthorized = status === 401 || status === 403;
    if (!this.#refresh || !unauthorized || times > MOST_REFRESHES) return super.refused(transfer, times);
    if (url !== this.url) return;
    // Concurrent transfers are refused at the same time and share one new URL.
    this.#refreshing ??= this.#refresh(url, status);
    try {
      this.url = await this.#refreshing;
    } finally {
      this.#refreshing = undefined;
    }
  }
}
