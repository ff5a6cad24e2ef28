//! Tests of heads: round trips, limits and forgeries.

use super::*;
use crate::error::ErrorKind;

/// A view of eight words: four of one region, one without a base, three of another dtype.
fn view() -> View {
    let origin = |base, name: &str, dtype| Origin { base, name: name.into(), dtype };
    let run = |units, from| Run { units, from };
    View {
        origins: vec![origin(0, "x", Dtype::F32), origin(1, "e", Dtype::BF16)],
        runs: vec![run(4, Some((0, 0))), run(1, None), run(1, Some((1, 7))), run(2, Some((1, 2)))],
    }
}

fn head() -> Head {
    let region = |name: &str, offset, dtype: Dtype, shape: &[u64]| Region {
        name: name.into(),
        dtype,
        shape: shape.to_vec(),
        offset,
        length: dtype.tensor_bytes(shape).unwrap(),
    };
    let partner = |base, name: &str, of: &Region| {
        let origin = Origin { base, name: name.into(), dtype: of.dtype };
        Content::Chunks(Some(Partner::View(View::whole(of, origin))))
    };
    let paired = |region: Region, base, name| Item::Region { content: partner(base, name, &region), region };
    Head {
        bases: vec![BaseFile { length: 1000, kind: Kind::Safetensors }, BaseFile { length: 7, kind: Kind::Bytes }],
        items: vec![
            Item::Span(b"header".to_vec()),
            paired(region("a", 6, Dtype::BF16, &[3, 2]), 0, "a"),
            paired(region("b", 18, Dtype::BF16, &[6]), 1, "other"),
            Item::Region { region: region("c", 30, Dtype::F32, &[3]), content: Content::Earlier(1) },
            Item::Region { region: region("", 42, Dtype::U8, &[0]), content: Content::Chunks(None) },
            paired(region("d", 42, Dtype::U8, &[2]), 1, ""),
            Item::Region {
                region: region("e", 44, Dtype::F32, &[4, 2]),
                content: Content::Chunks(Some(Partner::View(view()))),
            },
            Item::Region {
                region: region("f", 76, Dtype::U8, &[9]),
                content: Content::Chunks(Some(Partner::Bytes(Stretch { base: 1, offset: 3, length: 4 }))),
            },
        ],
    }
}

fn parse(front: &[u8]) -> Result<Head> {
    Head::parse(front, front.len() as u64)
}

fn parse_raw(raw: &[u8]) -> Result<Head> {
    Head::parse_raw(raw, raw.len() as u64)
}

#[test]
fn heads_survive_a_round_trip() {
    assert_eq!(parse(&head().write().unwrap()).unwrap(), head());
    assert_eq!(parse(&Head::default().write().unwrap()).unwrap(), Head::default());
}

/// The writer refuses to make an archive that no reader accepts.
#[test]
fn heads_beyond_the_limits_are_not_written() {
    let kind = |head: Head| head.write().unwrap_err().kind();
    let items = vec![Item::Span(vec![0]); MAX_ITEMS as usize + 1];
    assert_eq!(kind(Head { bases: Vec::new(), items }), ErrorKind::Limit);
    let bases = vec![BaseFile { length: 0, kind: Kind::Bytes }; MAX_BASES + 1];
    assert_eq!(kind(Head { bases, items: Vec::new() }), ErrorKind::Limit);
    let shape = vec![(MAX_CHUNKS + 1) << 20];
    let region = Region { name: "w".into(), dtype: Dtype::U8, offset: 0, length: shape[0], shape };
    let items = vec![Item::Region { region, content: Content::Chunks(None) }];
    assert_eq!(kind(Head { bases: Vec::new(), items }), ErrorKind::Limit);
}

/// A few bytes may be many items, but only if the archive is as long as they are worth.
#[test]
fn heads_are_no_heavier_than_the_archive_allows() {
    let items = |count| Head { bases: Vec::new(), items: vec![Item::Span(vec![0]); count] };
    let light = items(16 << 10).write().unwrap();
    assert_eq!(parse(&light).unwrap().items.len(), 16 << 10);
    assert_eq!(items(64 << 10).write().unwrap_err().kind(), ErrorKind::Limit);
    let heavy = items(64 << 10).write_raw();
    assert_eq!(Head::parse_raw(&heavy, 1000).unwrap_err().kind(), ErrorKind::Limit);
    assert!(Head::parse_raw(&heavy, 1 << 20).is_ok());
}

#[test]
fn any_flip_is_noticed() {
    let bytes = head().write().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        parse(&flipped).unwrap_err();
    }
}

#[test]
fn forged_heads_are_refused() {
    let forged = |change: fn(&mut Head)| {
        let mut head = head();
        change(&mut head);
        parse_raw(&head.write_raw()).unwrap_err().kind()
    };
    assert_eq!(forged(|h| h.bases.truncate(1)), ErrorKind::Corrupt);
    assert_eq!(forged(|h| h.items.push(h.items[5].clone())), ErrorKind::Corrupt);
    assert_eq!(forged(|h| h.items.swap(1, 3)), ErrorKind::Corrupt);
    assert_eq!(forged(|h| drop(h.items.drain(1..3))), ErrorKind::Corrupt);
    let raw = head().write_raw();
    let unknown = |at: usize, number| parse_raw(&[&raw[..at], &[number], &raw[at + 1..]].concat());
    for (at, number) in [(0, 1), (4, 4)] {
        assert_eq!(unknown(at, number).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    (0..raw.len()).for_each(|end| drop(parse_raw(&raw[..end]).unwrap_err()));
}
