//! Curves and heat maps as SVG: a file that any browser shows, without a library.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// From the curves to their names.
const LEGEND: f64 = 34.0;
/// A line of text, and a character of it or a little less.
const LINE: f64 = 16.0;
const CHARACTER: f64 = 7.2;
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"];

/// A line through points, each with the ends of its interval where it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub name: String,
    /// x, y.
    pub points: Vec<(f64, f64)>,
    /// Low and high of each point; empty: none.
    pub intervals: Vec<(f64, f64)>,
}

/// What the axes say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axes {
    pub title: String,
    pub x: String,
    pub y: String,
    pub log_x: bool,
    pub log_y: bool,
}

/// Curves over two axes that hold all their points.
pub fn curves(axes: &Axes, curves: &[Curve]) -> String {
    let xs = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
    let ends = curves.iter().flat_map(|curve| curve.intervals.iter().flat_map(|(low, high)| [*low, *high]));
    let ys = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1)).chain(ends);
    let (x, y) = (Scale::of(xs, axes.log_x, LEFT, WIDTH - RIGHT), Scale::of(ys, axes.log_y, HEIGHT - BOTTOM, TOP));
    let names = curves.iter().map(|curve| curve.name.as_str());
    let mut svg = start(axes, 0.0, beyond(names, RIGHT - LEGEND));
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = writeln!(svg, "<path d='M{at:.1} {TOP}V{:.1}' stroke='#ddd'/>", HEIGHT - BOTTOM);
        text(&mut svg, at, HEIGHT - BOTTOM + 18.0, "middle", &number(tick));
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = writeln!(svg, "<path d='M{LEFT} {at:.1}H{:.1}' stroke='#ddd'/>", WIDTH - RIGHT);
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", &number(tick));
    }
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let place = |(px, py): &(f64, f64)| format!("{:.1},{:.1}", x.at(*px), y.at(*py));
        let line: Vec<String> = curve.points.iter().map(place).collect();
        let line = line.join(" ");
        let _ = writeln!(svg, "<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='2'/>");
        for ((px, _), (low, high)) in curve.points.iter().zip(&curve.intervals) {
            let (at, low, high) = (x.at(*px), y.at(*low), y.at(*high));
            let _ = writeln!(svg, "<path d='M{at:.1} {low:.1}V{high:.1}' stroke='{colour}' stroke-opacity='0.5'/>");
        }
        let row = TOP + 10.0 + 18.0 * index as f64;
        let from = WIDTH - RIGHT + 10.0;
        let _ = writeln!(svg, "<path d='M{from} {row}h18' stroke='{colour}' stroke-width='3'/>");
        text(&mut svg, WIDTH - RIGHT + LEGEND, row + 4.0, "start", &curve.name);
    }
    svg + "</svg>\n"
}

/// Shares between 0 and 1 in cells, red to green, each with its number; rows from top to bottom.
pub fn heat_map(axes: &Axes, columns: &[String], rows: &[String], cells: &[Vec<Option<f64>>]) -> String {
    // The axis's own name stands before those of the rows.
    let names = rows.iter().map(String::as_str);
    let mut svg = start(axes, beyond(names, LEFT - LINE - 16.0), 0.0);
    let (width, height) = (WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP);
    let (cell, line) = (width / columns.len().max(1) as f64, height / rows.len().max(1) as f64);
    for (row, (name, values)) in rows.iter().zip(cells).enumerate() {
        let top = TOP + line * row as f64;
        text(&mut svg, LEFT - 8.0, top + line / 2.0 + 4.0, "end", name);
        for (column, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let left = LEFT + cell * column as f64;
            let hue = 120.0 * value.clamp(0.0, 1.0);
            let _ = writeln!(
                svg,
                "<rect x='{left:.1}' y='{top:.1}' width='{cell:.1}' height='{line:.1}' fill='hsl({hue:.0},65%,70%)' \
                 stroke='#fff'/>"
            );
            text(&mut svg, left + cell / 2.0, top + line / 2.0 + 4.0, "middle", &format!("{:.0}", 100.0 * value));
        }
    }
    for (column, name) in columns.iter().enumerate() {
        text(&mut svg, LEFT + cell * (column as f64 + 0.5), HEIGHT - BOTTOM + 18.0, "middle", name);
    }
    svg + "</svg>\n"
}

/// What the longest of these names takes beyond `room`, about.
fn beyond<'a>(names: impl Iterator<Item = &'a str>, room: f64) -> f64 {
    let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    (longest as f64 * CHARACTER - room).max(0.0).ceil()
}

/// A page with so much more room on the left and on the right.
fn start(axes: &Axes, left: f64, right: f64) -> String {
    let width = left + WIDTH + right;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='{} 0 {width} {HEIGHT}' font-family='sans-serif' \
         font-size='12'>\n<rect x='{}' width='{width}' height='{HEIGHT}' fill='#fff'/>\n",
        0.0 - left,
        0.0 - left
    );
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    text(&mut svg, middle, 24.0, "middle", &axes.title);
    text(&mut svg, middle, HEIGHT - 14.0, "middle", &axes.x);
    let _ = write!(svg, "<g transform='translate({},{:.0}) rotate(-90)'>", LINE - left, HEIGHT / 2.0);
    text(&mut svg, 0.0, 0.0, "middle", &axes.y);
    svg + "</g>\n"
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{words}</text>");
}

/// From values to places on the page.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, log: bool, from: f64, to: f64) -> Scale {
        let finite = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (if log { 1.0 } else { 0.0 }, 1.0) };
        // A single value stands in the middle.
        let (low, high) = match (low == high, log) {
            (true, true) => (low / 2.0, high * 2.0),
            (true, false) => (low - 0.5, high + 0.5),
            _ => (low, high),
        };
        Scale { low, high, log, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let along = |value: f64| if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (along(value) - along(self.low)) / (along(self.high) - along(self.low));
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Round values: powers of ten, or some five between the ends.
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (first, last) = (self.low.log10().ceil() as i32, self.high.log10().floor() as i32);
            let step = ((last - first) / 8 + 1) as usize;
            let powers: Vec<f64> = (first..=last).step_by(step).map(|power| 10f64.powi(power)).collect();
            return if powers.len() > 1 { powers } else { vec![self.low, self.high] };
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e7).contains(&size) => format!("{value:.0e}"),
        size if size >= 1000.0 && value.fract().abs() < 1e-9 => format!("{value:.0}"),
        _ => format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes() -> Axes {
        Axes { title: "a < b".into(), x: "x".into(), y: "y".into(), ..Axes::default() }
    }

    #[test]
    fn curves_hold_their_points_inside_the_axes() {
        let curve =
            Curve { name: "c".into(), points: vec![(0.0, 1.0), (10.0, 3.0)], intervals: vec![(0.5, 1.5), (3.0, 4.0)] };
        let svg = curves(&axes(), &[curve]);
        assert!(svg.contains("a &lt; b") && svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
        // y runs from 0.5 to 4: the first point is a seventh up.
        let y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) / 7.0;
        assert!(svg.contains(&format!("points='{LEFT:.1},{y:.1} {:.1},", WIDTH - RIGHT)), "{svg}");
    }

    #[test]
    fn long_names_have_room() {
        let name = "longrope:models/smollm2-135m-longrope.json";
        let curve = |name: &str| Curve { name: name.into(), points: vec![(0.0, 1.0), (1.0, 2.0)], intervals: vec![] };
        assert!(curves(&axes(), &[curve("yarn:4")]).contains("viewBox='0 0 760 440'"));
        assert!(curves(&axes(), &[curve(name)]).contains("viewBox='0 0 907 440'"));
        let rows = ["niah_multikey_2".to_string()];
        assert!(heat_map(&axes(), &["8k".into()], &rows, &[vec![Some(1.0)]]).contains("viewBox='-70 0 830 440'"));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = |low, high, log| Scale { low, high, log, from: 0.0, to: 1.0 }.ticks();
        assert_eq!(ticks(0.0, 10.0, false), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.5, 2000.0, true), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(number(0.25), "0.25");
        assert_eq!(number(16384.0), "16384");
    }

    #[test]
    fn cells_are_coloured_by_their_share_and_empty_ones_left_out() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let svg = heat_map(&axes(), &names(&["1k", "2k"]), &names(&["0 %"]), &[vec![Some(1.0), None]]);
        assert!(svg.contains("hsl(120,") && svg.matches("<rect").count() == 2, "{svg}");
    }
}
