//! The drawing of families: a block for each, with the base on the left and the other models on the
//! right.

use std::fmt::Write;

use super::{Family, Member};

const ROW: usize = 30;
const WIDTH: usize = 900;
const BASE_X: usize = 40;
const OTHER_X: usize = 460;

pub(super) fn draw(families: &[Family]) -> String {
    let mut body = String::new();
    let mut top = 24;
    for family in families {
        top = draw_family(&mut body, family, top) + ROW / 2;
    }
    let style = "text{font:14px system-ui,sans-serif;fill:#222}.figures{fill:#666;font-size:12px}\
                 circle{fill:#2a6fdb}.derived{fill:#e08a1e}path{stroke:#b8c2d0;stroke-width:1.5;fill:none}";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\">\
         <title>Families of models</title><style>{style}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>{body}</svg>\n"
    )
}

/// Draws a family below `top`, and returns the bottom of its block.
fn draw_family(body: &mut String, family: &Family, top: usize) -> usize {
    let (bases, derived): (Vec<&Member>, Vec<&Member>) = family.iter().partition(|member| member.base.is_none());
    let rows = derived.len().max(1);
    let middle = top + rows * ROW / 2;
    for base in bases {
        dot(body, BASE_X, middle, "base", base, &megabytes(base.bytes));
    }
    for (row, member) in derived.into_iter().enumerate() {
        let y = top + row * ROW + ROW / 2;
        let (from, bend) = (OTHER_X - 120, OTHER_X - 60);
        let _ = write!(body, "<path d=\"M{from} {middle} C{bend} {middle} {bend} {y} {OTHER_X} {y}\"/>");
        let figures = member.base.as_ref().map_or(String::new(), |base| {
            let share = |bytes: u64| 100.0 * bytes as f64 / member.bytes.max(1) as f64;
            format!("{:.0} % as deltas, {:.0} % equal", share(base.delta_bytes), share(base.equal_bytes))
        });
        dot(body, OTHER_X, y, "derived", member, &figures);
    }
    top + rows * ROW
}

fn dot(body: &mut String, x: usize, y: usize, class: &str, member: &Member, figures: &str) {
    let (text, baseline, name) = (x + 14, y + 5, escape(&member.name));
    let _ = write!(
        body,
        "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"6\"/>\
         <text x=\"{text}\" y=\"{baseline}\">{name} <tspan class=\"figures\">{figures}</tspan></text>"
    );
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
