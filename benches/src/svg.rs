//! Drawing: shapes and text, axes and their marks. The comparison runner, a
//! workspace of its own, takes this file by its path.

use std::fmt::{self, Display, Write as _};

const FONT: &str = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";
/// The colour of text.
pub const INK: &str = "#212529";
/// The colour of what stands back.
pub const PALE: &str = "#868e96";
/// The colour of grids.
pub const GRID: &str = "#e9ecef";

/// A picture.
#[derive(Clone, Debug)]
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where text stands to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub struct Font {
    /// Its size.
    pub size: f64,
    /// Its colour.
    pub color: &'static str,
    /// Whether it is bold.
    pub is_bold: bool,
}

impl Font {
    /// Of this size, in the colour of text.
    pub const fn new(size: f64) -> Self {
        Self { size, color: INK, is_bold: false }
    }

    /// Bold.
    pub const fn bold(self, is_bold: bool) -> Self {
        Self { is_bold, ..self }
    }

    /// In this colour.
    pub const fn color(self, color: &'static str) -> Self {
        Self { color, ..self }
    }
}

/// Text as it may stand in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Svg {
    /// An empty picture.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    fn push(&mut self, shape: impl Display) {
        // Writing to a string does not fail.
        _ = writeln!(self.body, "{shape}");
    }

    /// A line from one point to another.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{color}" stroke-width="{width}" stroke-linecap="round"/>"#
        ));
    }

    /// A line through several points.
    pub fn path(&mut self, points: &[(f64, f64)], color: &str, width: f64, is_dashed: bool) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let dashes = if is_dashed { r#" stroke-dasharray="5 4""# } else { "" };
        self.push(format_args!(
            r#"<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round"{dashes}/>"#
        ));
    }

    /// A disc; hollow ones have a rim alone.
    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, color: &str, is_hollow: bool) {
        let fill = if is_hollow { "#ffffff" } else { color };
        self.push(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{fill}" stroke="{color}" stroke-width="1.6"/>"#
        ));
    }

    /// A rectangle, from one corner to the opposite one.
    pub fn bar(&mut self, from: (f64, f64), to: (f64, f64), color: &str, opacity: f64) {
        let (x, y) = (from.0.min(to.0), from.1.min(to.1));
        let (width, height) = ((from.0 - to.0).abs(), (from.1 - to.1).abs());
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{color}" fill-opacity="{opacity}"/>"#
        ));
    }

    /// Text at a point, its baseline there.
    pub fn text(&mut self, (x, y): (f64, f64), text: &str, font: Font, anchor: Anchor) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if font.is_bold { r#" font-weight="600""# } else { "" };
        let Font { size, color, .. } = font;
        let text = escaped(text);
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{color}" text-anchor="{anchor}"{weight}>{text}</text>"#
        ));
    }
}

impl Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, body } = self;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="{FONT}">"#
        )?;
        writeln!(f, r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##)?;
        writeln!(f, "{body}</svg>")
    }
}

/// A logarithmic axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// One that shows all these figures, drawn between two coordinates; nothing
    /// without a figure above 0.
    pub fn over(figures: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let figures = figures.into_iter().filter(|x| x.is_finite() && *x > 0.0);
        let (low, high) = figures.fold(None, |ends: Option<(f64, f64)>, x| {
            Some(ends.map_or((x, x), |(low, high)| (low.min(x), high.max(x))))
        })?;
        let (low, high) = (round_down(low * 0.95), round_up(high * 1.05));
        Some(Self { low, high, from, to })
    }

    /// The coordinate of a figure.
    pub fn at(&self, figure: f64) -> f64 {
        let share = (figure / self.low).ln() / (self.high / self.low).ln();
        self.from + (self.to - self.from) * share
    }

    /// Round figures to be marked on it: few enough to be told apart.
    pub fn marks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = match decades {
            d if d < 1.4 => &[1.0, 2.0, 5.0],
            d if d < 2.6 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let first = 10f64.powf(self.low.log10().floor());
        // Three through ten is 0.3, which three times a tenth is not.
        let mark = |decade: f64, step: f64| match decade {
            ..1.0 => step / (1.0 / decade).round(),
            _ => step * decade,
        };
        std::iter::successors(Some(first), |decade| Some(decade * 10.0))
            .take_while(|decade| *decade <= self.high * 1.001)
            .flat_map(|decade| steps.iter().map(move |step| mark(decade, *step)))
            .filter(|mark| (self.low * 0.999..=self.high * 1.001).contains(mark))
            .collect()
    }
}

const STEPS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];

fn round_down(figure: f64) -> f64 {
    let decade = 10f64.powf(figure.log10().floor());
    STEPS.iter().rev().map(|step| step * decade).find(|x| *x <= figure).unwrap_or(decade)
}

fn round_up(figure: f64) -> f64 {
    let decade = 10f64.powf(figure.log10().floor());
    STEPS.iter().map(|step| step * decade).find(|x| *x >= figure).unwrap_or(decade * 10.0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
/// What pictures are checked for.
pub mod tests {
    use super::*;

    /// That every element is closed and every text escaped.
    #[track_caller]
    pub fn check_is_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'), "a bare > in {}", &rest[..start]);
            let end = start + rest[start..].find('>').unwrap();
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest.trim().is_empty());
    }

    #[test]
    fn pictures_are_well_formed() {
        let mut svg = Svg::new(100.0, 50.0);
        svg.line((0.0, 0.0), (1.0, 1.0), INK, 1.0);
        svg.path(&[(0.0, 0.0), (2.0, 1.0)], INK, 2.0, true);
        svg.dot((3.0, 3.0), 2.0, PALE, true);
        svg.bar((5.0, 5.0), (1.0, 1.0), GRID, 0.5);
        svg.text((1.0, 1.0), "a < b & \"c\"", Font::new(12.0).bold(true), Anchor::End);
        let text = svg.to_string();
        check_is_well_formed(&text);
        assert!(text.contains("a &lt; b &amp; &quot;c&quot;"));
    }

    #[test]
    fn marks_are_as_short_as_a_person_would_write_them() {
        let axis = Axis::over([0.07, 0.2, 14.0], 0.0, 100.0).unwrap();
        let marks: Vec<_> = axis.marks().iter().map(f64::to_string).collect();
        assert_eq!(marks, ["0.1", "0.3", "1", "3", "10"]);
    }

    #[test]
    fn axis_holds_all_figures_and_its_marks() {
        let axis = Axis::over([12.0, 900.0, 88_000.0], 0.0, 100.0).unwrap();
        for figure in [12.0, 900.0, 88_000.0] {
            assert!((0.0..=100.0).contains(&axis.at(figure)), "{figure}");
        }
        assert_eq!(axis.marks(), [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]);
        let narrow = Axis::over([110.0, 190.0], 50.0, 0.0).unwrap();
        assert!(narrow.at(110.0) > narrow.at(190.0), "drawn upwards");
        assert!(!narrow.marks().is_empty());
        assert!(Axis::over([], 0.0, 1.0).is_none());
    }
}
