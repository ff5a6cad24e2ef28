//! Damaged plans, parts and receipts of uploads, and signs of life with wrong times.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn damaged_plans_end_only_their_uploads() {
    let hub = Hub::empty(limits()).await;
    let ids = [hub.begin("org/a", b"bytes").await, hub.begin("org/b", b"bytes").await, hub.begin("org/c", b"x").await];
    let plan = |id: &str| stored(&hub, id).into_iter().find(|path| path.ends_with("plan.json")).unwrap();
    let intact = fs::read(plan(&ids[0])).unwrap();
    let mut flipped = intact.clone();
    flipped[intact.len() / 2] ^= 1;
    // A plan that leads out of the model's folder, as no server writes it.
    let leading_out = String::from_utf8(fs::read(plan(&ids[1])).unwrap()).unwrap();
    let leading_out = leading_out.replace("model.safetensors", "../../x").replace(r#""check":""#, r#""checked":""#);
    for (id, damaged) in [(&ids[0], flipped), (&ids[1], leading_out.into_bytes())] {
        fs::write(plan(id), damaged).unwrap();
        let other = hub.second().await;
        assert_failed(put(&other, &file(id, "?raw"), b"bytes", 0..5).await, 404, "not-found").await;
        assert_failed(publish(&other, id).await, 404, "not-found").await;
        assert_eq!(other.begin("org/other", b"bytes").await.len(), 36);
        other.stop().await;
    }
    assert_eq!(put(&hub, &file(&ids[2], "?raw"), b"x", 0..1).await.status(), 204);
    assert_eq!(publish(&hub, &ids[2]).await.status(), 201);
    let problems = hub.store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems;
    let mut keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    keys.sort_unstable();
    let mut expected = [0, 1].map(|number| format!("uploads/open/{}/plan.json", ids[number]));
    expected.sort();
    assert_eq!(keys, expected);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_parts_are_sent_again() {
    let first = Hub::empty(limits()).await;
    let second = first.second().await;
    // Each round sends a file that the store does not have.
    let file_of = |round: u8| (0..3000u32).map(|n| (n / 7) as u8 ^ round).collect::<Vec<u8>>();
    type Damage = fn(&PathBuf, Vec<u8>);
    let damages: [(Damage, u16); 4] = [
        (
            |path, mut part| {
                part[500] ^= 1;
                fs::write(path, part).unwrap();
            },
            503,
        ),
        (|path, part| fs::write(path, &part[..999]).unwrap(), 409),
        (|path, part| fs::write(path, [&part[..], b"more"].concat()).unwrap(), 409),
        (|path, _| fs::remove_file(path).unwrap(), 409),
    ];
    for (round, (damage, status)) in damages.into_iter().enumerate() {
        let bytes = file_of(round as u8);
        let id = first.begin("org/new", &bytes).await;
        let path = file(&id, "?raw");
        assert_eq!(put(&first, &path, &bytes, 0..1000).await.status(), 202);
        let part = stored(&first, &format!("{id}/0/")).remove(0);
        damage(&part, fs::read(&part).unwrap());
        // The second server has to read the part.
        assert_eq!(put(&second, &path, &bytes, 1000..3000).await.status(), status);
        assert_eq!(offset(&second, &path).await, 0);
        assert_failed(publish(&first, &id).await, 409, "conflict").await;
        assert_eq!(put(&second, &path, &bytes, 0..3000).await.status(), 204);
        assert_eq!(publish(&first, &id).await.status(), 201);
    }
    // Bytes that another one has forged for a part lead to a file that was not announced.
    let bytes = file_of(100);
    let id = first.begin("org/other", &bytes).await;
    let forged = vec![1; 3000];
    let place = first.root.path().join(format!("uploads/parts/{id}/0/raw.3000"));
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(format!("0.3000.{}", digest(&forged))), forged).unwrap();
    let path = file(&id, "?raw");
    assert_failed(put(&second, &path, &bytes, 0..3000).await, 422, "mismatch").await;
    assert_eq!(offset(&second, &path).await, 0);
    assert_eq!(put(&second, &path, &bytes, 0..3000).await.status(), 204);
    assert_eq!(publish(&second, &id).await.status(), 201);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_without_its_bytes_counts_for_nothing() {
    let first = Hub::empty(limits()).await;
    let second = first.second().await;
    let bytes = vec![3; 5000];
    let id = first.begin("org/new", &bytes).await;
    let path = file(&id, "?raw");
    assert_eq!(put(&first, &path, &bytes, 0..5000).await.status(), 204);
    let part = stored(&first, &id).into_iter().find(|path| path.to_str().unwrap().contains("/0.5000.")).unwrap();
    fs::write(&part, vec![4; 5000]).unwrap();
    assert_failed(publish(&second, &id).await, 503, "storage").await;
    assert_failed(publish(&second, &id).await, 409, "conflict").await;
    assert_eq!(put(&second, &path, &bytes, 0..5000).await.status(), 204);
    assert_eq!(publish(&second, &id).await.status(), 201);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_from_the_past_and_the_future() {
    let hub = Hub::empty(limits()).await;
    let [old, new, live] =
        [hub.begin("org/a", b"bytes").await, hub.begin("org/b", b"bytes").await, hub.begin("org/c", b"bytes").await];
    let plan = |id: &str| hub.root.path().join(format!("uploads/open/{id}/plan.json"));
    let (day, year) = (Duration::from_secs(86_400), Duration::from_secs(365 * 86_400));
    set_time(&plan(&old), SystemTime::now() - day);
    set_time(&plan(&new), SystemTime::now() + year);
    let beat = plan(&new).with_file_name("beat");
    eventually(async || !plan(&old).exists() && beat.exists()).await;
    assert_failed(put(&hub, &file(&old, "?raw"), b"bytes", 0..5).await, 404, "not-found").await;
    // From now on, the upload expires like any other.
    set_time(&beat, SystemTime::now() - day);
    eventually(async || !plan(&new).exists()).await;
    assert_eq!(put(&hub, &file(&live, "?raw"), b"bytes", 0..5).await.status(), 204);
    hub.stop().await;
}
