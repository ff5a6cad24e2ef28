//! Tests of heads: round trips, limits and forgeries.

use super::*;
use crate::arranged::{Arranged, MAX_COLUMNS, Rectangle};
use crate::error::ErrorKind;
use crate::merge::Arithmetic;
use crate::pace::whole;
use crate::transposed::Transposed;

/// A view of eight words: four of one region, one without a base, three of another dtype.
fn view() -> View {
    let origin = |base, name: &str, dtype| Origin { base, name: name.into(), dtype };
    let run = |units, from| Run { units, from };
    View {
        origins: vec![origin(0, "x", Dtype::F32), origin(1, "e", Dtype::BF16)],
        runs: vec![run(4, Some((0, 0))), run(1, None), run(1, Some((1, 7))), run(2, Some((1, 2)))],
        ..View::default()
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
        packed: Vec::new(),
    }
}

fn parse(front: &[u8]) -> Result<Head> {
    whole(Head::parse(front, front.len() as u64))
}

fn parse_raw(raw: &[u8]) -> Result<Head> {
    whole(Head::parse_raw(raw, raw.len() as u64))
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
    assert_eq!(kind(Head { items, ..Head::default() }), ErrorKind::Limit);
    let bases = vec![BaseFile { length: 0, kind: Kind::Bytes }; MAX_BASES + 1];
    assert_eq!(kind(Head { bases, ..Head::default() }), ErrorKind::Limit);
    let shape = vec![(MAX_CHUNKS + 1) << 20];
    let region = Region { name: "w".into(), dtype: Dtype::U8, offset: 0, length: shape[0], shape };
    let items = vec![Item::Region { region, content: Content::Chunks(None) }];
    assert_eq!(kind(Head { items, ..Head::default() }), ErrorKind::Limit);
}

/// A few bytes may be many items, but only if the archive is as long as they are worth.
#[test]
fn heads_are_no_heavier_than_the_archive_allows() {
    let items = |count| Head { items: vec![Item::Span(vec![0]); count], ..Head::default() };
    let light = items(16 << 10).write().unwrap();
    assert_eq!(parse(&light).unwrap().items.len(), 16 << 10);
    assert_eq!(items(64 << 10).write().unwrap_err().kind(), ErrorKind::Limit);
    let heavy = items(64 << 10).write_raw();
    assert_eq!(whole(Head::parse_raw(&heavy, 1000)).unwrap_err().kind(), ErrorKind::Limit);
    assert!(whole(Head::parse_raw(&heavy, 1 << 20)).is_ok());
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
    for (at, number) in [(0, 2), (4, 4)] {
        assert_eq!(unknown(at, number).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    (0..raw.len()).for_each(|end| drop(parse_raw(&raw[..end]).unwrap_err()));
}

/// A head with one merged matrix of 8 rows and 6 columns.
fn merged(change: impl Fn(&mut Region, &mut Merge)) -> Head {
    let origin = |name: &str, dtype| Origin { base: 0, name: name.into(), dtype };
    let arithmetic = Arithmetic { scale: 1.5f32.to_bits(), product: Dtype::F32, change: Dtype::BF16 };
    let (a, b) = (origin("a", Dtype::F32), origin("b", Dtype::F16));
    let mut merge = Merge { a, b, rank: 3, transposed: true, arithmetic };
    let mut region = Region { name: "w".into(), dtype: Dtype::BF16, shape: vec![8, 6], offset: 0, length: 96 };
    change(&mut region, &mut merge);
    let view = View::whole(&region, origin("w", region.dtype));
    let content = Content::Chunks(Some(Partner::View(View { merge: Some(Box::new(merge)), ..view })));
    Head {
        bases: vec![BaseFile { length: 1000, kind: Kind::Safetensors }],
        items: vec![Item::Region { region, content }],
        packed: Vec::new(),
    }
}

#[test]
fn merges_survive_a_round_trip() {
    let head = merged(|_, _| {});
    assert_eq!(parse(&head.write().unwrap()).unwrap(), head);
    let raw = head.write_raw();
    (0..raw.len()).for_each(|end| drop(parse_raw(&raw[..end]).unwrap_err()));
    assert_eq!(head.items[0].runs(), 3);
}

#[test]
fn forged_merges_are_refused() {
    let forged = |change: fn(&mut Region, &mut Merge)| parse_raw(&merged(change).write_raw()).unwrap_err().kind();
    assert_eq!(forged(|_, merge| merge.rank = 0), ErrorKind::Limit);
    assert_eq!(forged(|_, merge| merge.rank = 1025), ErrorKind::Limit);
    assert_eq!(forged(|_, merge| merge.rank = u64::MAX), ErrorKind::Limit);
    let long = |region: &mut Region, merge: &mut Merge| {
        (region.shape, region.length, merge.rank) = (vec![1, (1 << 20) + 1], (2 << 20) + 2, 4);
    };
    assert_eq!(forged(long), ErrorKind::Limit);
    for scale in [f32::NAN, f32::INFINITY] {
        let head = merged(|_, merge| merge.arithmetic.scale = scale.to_bits());
        assert_eq!(parse_raw(&head.write_raw()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    assert_eq!(forged(|_, merge| merge.arithmetic.product = Dtype::F64), ErrorKind::Corrupt);
    assert_eq!(forged(|_, merge| merge.arithmetic.change = Dtype::U8), ErrorKind::Corrupt);
    assert_eq!(forged(|_, merge| merge.a.dtype = Dtype::I32), ErrorKind::Corrupt);
    assert_eq!(forged(|_, merge| merge.b.base = 1), ErrorKind::Corrupt);
    assert_eq!(forged(|region, _| region.dtype = Dtype::I16), ErrorKind::Corrupt);
    assert_eq!(forged(|region, _| region.shape = vec![8, 2, 3]), ErrorKind::Corrupt);
    assert_eq!(forged(|region, _| (region.shape, region.length) = (vec![0, 6], 0)), ErrorKind::Corrupt);
    let raw = merged(|_, _| {}).write_raw();
    let order = raw.iter().position(|&byte| byte == 0x3f).unwrap() + 1;
    let other = parse_raw(&[&raw[..order], &[2], &raw[order + 1..]].concat());
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// A head with one transposed stack of two matrices of 4 rows and 3 columns.
fn transposed(change: impl Fn(&mut Region, &mut View)) -> Head {
    let mut region = Region { name: "w".into(), dtype: Dtype::F32, shape: vec![2, 3, 4], offset: 0, length: 96 };
    let origin = Origin { base: 0, name: "of the base".into(), dtype: Dtype::BF16 };
    let mut view = View::transposed(&region, origin, Transposed { rows: 4, columns: 3 });
    change(&mut region, &mut view);
    Head {
        bases: vec![BaseFile { length: 1000, kind: Kind::Safetensors }],
        items: vec![Item::Region { region, content: Content::Chunks(Some(Partner::View(view))) }],
        packed: Vec::new(),
    }
}

#[test]
fn transposed_views_survive_a_round_trip() {
    let head = transposed(|_, _| {});
    assert_eq!(parse(&head.write().unwrap()).unwrap(), head);
    let raw = head.write_raw();
    (0..raw.len()).for_each(|end| drop(parse_raw(&raw[..end]).unwrap_err()));
    assert_eq!(head.items[0].runs(), 1);
}

#[test]
fn forged_transposed_views_are_refused() {
    let forged = |change: fn(&mut Region, &mut View)| parse_raw(&transposed(change).write_raw()).unwrap_err().kind();
    for (rows, columns, kind) in [
        (0, 3, ErrorKind::Corrupt),
        (5, 3, ErrorKind::Corrupt),
        (1 << 25, 1, ErrorKind::Limit),
        (u64::MAX, 2, ErrorKind::Limit),
    ] {
        let head = transposed(|_, view| view.transposed = Some(Transposed { rows, columns }));
        assert_eq!(parse_raw(&head.write_raw()).unwrap_err().kind(), kind, "{rows} x {columns}");
    }
    assert_eq!(forged(|_, view| view.origins[0].dtype = Dtype::I32), ErrorKind::Corrupt);
    assert_eq!(forged(|_, view| view.origins[0].dtype = Dtype::Q8_0), ErrorKind::Corrupt);
    assert_eq!(forged(|_, view| view.origins[0].base = 1), ErrorKind::Corrupt);
    assert_eq!(forged(|region, _| region.dtype = Dtype::I16), ErrorKind::Corrupt);
}

/// A head with one matrix of 4 rows and 6 columns: a transposed one of 4 columns, and every second
/// word of a row for the others.
fn arranged(change: impl Fn(&mut Region, &mut Vec<Origin>, &mut Arranged)) -> Head {
    let mut region = Region { name: "w".into(), dtype: Dtype::F32, shape: vec![2, 2, 6], offset: 0, length: 96 };
    let origin = |name: &str, dtype| Origin { base: 0, name: name.into(), dtype };
    let mut origins = vec![origin("a", Dtype::BF16), origin("b", Dtype::F32)];
    let first = Rectangle { origin: 0, row: 0, rows: 4, column: 0, columns: 4, step: 1, start: 0, down: 1, across: 4 };
    let second = Rectangle { origin: 1, row: 1, rows: 3, column: 4, columns: 2, step: 1, start: 9, down: 8, across: 2 };
    let mut arranged = Arranged { columns: 6, rectangles: vec![first, second] };
    change(&mut region, &mut origins, &mut arranged);
    let content = Content::Chunks(Some(Partner::View(View::arranged(&region, origins, arranged))));
    Head {
        bases: vec![BaseFile { length: 1000, kind: Kind::Safetensors }],
        items: vec![Item::Region { region, content }],
        packed: Vec::new(),
    }
}

#[test]
fn arranged_views_survive_a_round_trip() {
    let head = arranged(|_, _, _| {});
    assert_eq!(parse(&head.write().unwrap()).unwrap(), head);
    let raw = head.write_raw();
    (0..raw.len()).for_each(|end| drop(parse_raw(&raw[..end]).unwrap_err()));
    assert_eq!(head.items[0].runs(), 2);
    let many = arranged(|_, _, arranged| arranged.rectangles = vec![arranged.rectangles[0]; MAX_RUNS as usize + 1]);
    assert_eq!(parse_raw(&many.write_raw()).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn forged_arranged_views_are_refused() {
    let with = |change: fn(&mut Region, &mut Vec<Origin>, &mut Arranged)| {
        parse_raw(&arranged(change).write_raw()).unwrap_err().kind()
    };
    assert_eq!(with(|_, _, arranged| arranged.columns = 0), ErrorKind::Corrupt);
    assert_eq!(with(|_, _, arranged| arranged.columns = 7), ErrorKind::Corrupt);
    assert_eq!(with(|_, _, arranged| arranged.columns = MAX_COLUMNS + 1), ErrorKind::Limit);
    assert_eq!(with(|_, _, arranged| arranged.rectangles.reverse()), ErrorKind::Corrupt);
    assert_eq!(with(|_, _, arranged| arranged.rectangles = vec![arranged.rectangles[0]; 2]), ErrorKind::Corrupt);
    assert_eq!(with(|_, origins, _| drop(origins.pop())), ErrorKind::Corrupt);
    assert_eq!(with(|_, origins, _| origins[0].dtype = Dtype::I32), ErrorKind::Corrupt);
    assert_eq!(with(|_, origins, _| origins[0].dtype = Dtype::Q8_0), ErrorKind::Corrupt);
    assert_eq!(with(|_, origins, _| origins[1].base = 1), ErrorKind::Corrupt);
    assert_eq!(with(|region, _, _| region.dtype = Dtype::I32), ErrorKind::Corrupt);
    let forged = |change: &dyn Fn(&mut Rectangle)| {
        let head = arranged(|_, _, arranged| change(&mut arranged.rectangles[1]));
        parse_raw(&head.write_raw()).unwrap_err().kind()
    };
    for wrong in [0, 4, u64::MAX] {
        assert_eq!(forged(&|rectangle| rectangle.rows = wrong), ErrorKind::Corrupt, "{wrong} rows");
        assert_eq!(forged(&|rectangle| rectangle.row = wrong.max(2)), ErrorKind::Corrupt, "row {wrong}");
        assert_eq!(forged(&|rectangle| rectangle.columns = wrong), ErrorKind::Corrupt, "{wrong} columns");
        assert_eq!(forged(&|rectangle| rectangle.column = wrong.max(5)), ErrorKind::Corrupt, "column {wrong}");
        assert_eq!(forged(&|rectangle| rectangle.step = wrong), ErrorKind::Corrupt, "step {wrong}");
    }
    for most in [1 << 63, u64::MAX] {
        assert_eq!(forged(&|rectangle| rectangle.start = most - 18), ErrorKind::Corrupt, "{most}");
        assert_eq!(forged(&|rectangle| rectangle.down = most), ErrorKind::Corrupt, "{most}");
        assert_eq!(forged(&|rectangle| rectangle.across = most), ErrorKind::Corrupt, "{most}");
    }
    assert_eq!(forged(&|rectangle| rectangle.down = 4 << 20), ErrorKind::Limit);
    assert_eq!(forged(&|rectangle| rectangle.across = 8 << 20), ErrorKind::Limit);
}

/// Rectangles of few words each whose chunks need many bytes of the base.
#[test]
fn arranged_views_that_take_too_much_are_refused() {
    // Each of the rectangles takes 32 MiB, from the first word to the last one.
    let far = Rectangle { origin: 1, row: 0, rows: 4, column: 0, columns: 2, step: 1, start: 0, down: 0, across: 0 };
    let far = Rectangle { across: (8 << 20) - 1, ..far };
    let of = |count: usize, chunks: u64| {
        arranged(|region, _, arranged| {
            (region.shape, region.length) = (vec![4 * chunks, 1 << 18], chunks << 22);
            arranged.columns = 1 << 18;
            arranged.rectangles = vec![Rectangle { rows: 4 * chunks, ..far }; count];
        })
    };
    assert_eq!(parse(&of(4, 1).write().unwrap()).unwrap(), of(4, 1));
    assert_eq!(parse_raw(&of(5, 1).write_raw()).unwrap_err().kind(), ErrorKind::Limit);
    assert!(parse_raw(&of(4, 100).write_raw()).is_ok());
    assert_eq!(parse_raw(&of(5, 100).write_raw()).unwrap_err().kind(), ErrorKind::Limit);
    // Each of the chunks needs all of the rectangles.
    let narrow = |count: usize| {
        arranged(|region, _, arranged| {
            (region.shape, region.length) = (vec![1 << 13, 1 << 20], 1 << 35);
            arranged.columns = 1 << 20;
            arranged.rectangles = vec![Rectangle { rows: 1 << 13, across: 1, ..far }; count];
        })
    };
    assert!(parse_raw(&narrow(1 << 9).write_raw()).is_ok());
    assert_eq!(parse_raw(&narrow(1 + (1 << 9)).write_raw()).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(narrow(1 + (1 << 9)).write().unwrap_err().kind(), ErrorKind::Limit);
}
