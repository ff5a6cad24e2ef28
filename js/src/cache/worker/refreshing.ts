import { type Answer, BitxError, Remote, type RemoteOptions, type Transfer } from '../../common/index.js';

/** Returns another URL for one that the server refuses. */
type Refresh = (url: string, status: number) => Promise<string>;

const MOST_REFRESHES = 3;

/**
 * A model on a server. Its URL is replaced when the server refuses it, such as one with a
 * signature.
 */
export class RefreshingRemote extends Remote {
  readonly #refresh: Refresh | undefined;
  #refreshing: Promise<string> | undefined;

  constructor(options: RemoteOptions, refresh: Refresh | undefined) {
    super(options);
    this.#refresh = refresh;
  }

  override async range(start: number, end: number): Promise<Answer> {
    return refuseHtml(await super.range(start, end));
  }

  override async whole(): Promise<Answer> {
    return refuseHtml(await super.whole());
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

/** Throws for an HTML page, since sign-in pages and error pages may come with status 200. */
function refuseHtml(answer: Answer): Answer {
  const { url, response } = answer.transfer;
  if (!response.headers.get('content-type')?.startsWith('text/html')) return answer;
  answer.transfer.end();
  throw new BitxError('format', `${url} is an HTML page and not a model`, { url });
}
