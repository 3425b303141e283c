//! Pictures of how cost grows, from the file that `growth` of the benchmarks
//! writes: for each axis, a panel a metric.

use std::collections::BTreeMap;
use std::fs;

use crate::Result;
use crate::args::GrowthArgs;
use crate::svg::{Anchor, Axis, Font, GRID, PALE, Svg};

const WIDTH: f64 = 960.0;
const EDGE: f64 = 20.0;
const COLUMNS: usize = 3;
/// From the title to the first panel, and from each panel to the next.
const TOP: f64 = 84.0;
const PANEL: f64 = 250.0;
/// Of a panel, below its title.
const HEIGHT: f64 = 170.0;
const TITLE: Font = Font::new(16.0).bold(true);
const LABEL: Font = Font::new(12.0).bold(true);
const SMALL: Font = Font::new(11.0).color(PALE);
const BACKENDS: [(&str, &str, &str); 2] =
    [("mem", "in memory", "#1864ab"), ("lsm", "on disk", "#e8590c")];

/// A metric and its unit.
type Metric = (String, String);
/// The points of each backend, with their extremes.
type Lines = BTreeMap<String, Vec<[f64; 4]>>;

/// Draws what a file of `growth` holds.
pub fn draw(args: &GrowthArgs) -> Result {
    let text = fs::read_to_string(&args.from)?;
    fs::create_dir_all(&args.to)?;
    for (axis, title) in [
        ("records", "Cost by the number of records (16 + 100 bytes)"),
        ("versions", "Cost by the number of saved versions, 100 changes apart"),
        ("threads", "Transactions a second by the number of threads"),
    ] {
        let panels = parse(&text, axis)?;
        if panels.is_empty() {
            continue;
        }
        let file = args.to.join(format!("growth-{axis}.svg"));
        fs::write(&file, picture(title, axis, &panels).to_string())?;
        println!("{}", file.display());
    }
    Ok(())
}

/// The panels of one axis, in the order of the file. Of two rows of one point
/// the later counts.
fn parse(text: &str, axis: &str) -> Result<Vec<(Metric, Lines)>> {
    let mut panels: Vec<(Metric, Lines)> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with(&format!("{axis},"))) {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, backend, x, metric, unit, figures @ ..] = fields.as_slice() else {
            return Err(format!("not a row of growth: {line}").into());
        };
        let mut point = [x.parse()?, 0.0, 0.0, 0.0];
        for (slot, figure) in point.iter_mut().skip(1).zip(figures) {
            *slot = figure.parse()?;
        }
        let metric = ((*metric).to_owned(), (*unit).to_owned());
        let at = match panels.iter().position(|(other, _)| *other == metric) {
            Some(at) => at,
            None => {
                panels.push((metric, Lines::new()));
                panels.len() - 1
            }
        };
        if let Some((_, lines)) = panels.get_mut(at) {
            let line = lines.entry((*backend).to_owned()).or_default();
            line.retain(|[x, ..]| *x != point[0]);
            line.push(point);
            line.sort_by(|a, b| a[0].total_cmp(&b[0]));
        }
    }
    Ok(panels)
}

fn picture(title: &str, axis: &str, panels: &[(Metric, Lines)]) -> Svg {
    let rows = panels.len().div_ceil(COLUMNS);
    let mut svg = Svg::new(WIDTH, TOP + PANEL * rows as f64);
    svg.text((EDGE, 30.0), title, TITLE, Anchor::Start);
    for (i, (_, name, color)) in BACKENDS.iter().enumerate() {
        let x = EDGE + 110.0 * i as f64;
        svg.path(&[(x, 50.0), (x + 24.0, 50.0)], color, 2.6, false);
        svg.dot((x + 12.0, 50.0), 3.6, color, false);
        svg.text((x + 31.0, 54.0), name, SMALL, Anchor::Start);
    }
    let width = (WIDTH - 2.0 * EDGE) / COLUMNS as f64;
    for (i, (metric, lines)) in panels.iter().enumerate() {
        let left = EDGE + width * (i % COLUMNS) as f64;
        let top = TOP + PANEL * (i / COLUMNS) as f64;
        panel(&mut svg, (left + 52.0, left + width - 16.0), top, axis, metric, lines);
    }
    svg
}

fn panel(
    svg: &mut Svg,
    (left, right): (f64, f64),
    top: f64,
    axis: &str,
    (metric, unit): &Metric,
    lines: &Lines,
) {
    let (above, below) = (top + 14.0, top + 14.0 + HEIGHT);
    let points = || lines.values().flatten();
    let xs = Axis::over(points().map(|point| point[0]), left, right);
    let ys = Axis::over(points().flat_map(|point| point[1..].to_vec()), below, above);
    let (Some(xs), Some(ys)) = (xs, ys) else { return };
    svg.text((left, top), &format!("{metric}, {}", of(metric, unit)), LABEL, Anchor::Start);
    for mark in ys.marks() {
        svg.line((left, ys.at(mark)), (right, ys.at(mark)), GRID, 1.0);
        svg.text((left - 6.0, ys.at(mark) + 4.0), &short(mark, unit), SMALL, Anchor::End);
    }
    let mut marks: Vec<f64> = points().map(|point| point[0]).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        svg.text((xs.at(mark), below + 17.0), &short(mark, ""), SMALL, Anchor::Middle);
    }
    svg.text(((left + right) / 2.0, below + 34.0), axis, SMALL, Anchor::Middle);
    for (backend, _, color) in BACKENDS {
        let line = lines.get(backend).map_or(&[][..], Vec::as_slice);
        let at: Vec<_> = line.iter().map(|[x, y, ..]| (xs.at(*x), ys.at(*y))).collect();
        svg.path(&at, color, 2.6, false);
        for ([_, _, low, high], point) in line.iter().zip(&at) {
            svg.line((point.0, ys.at(*low)), (point.0, ys.at(*high)), color, 1.0);
            svg.dot(*point, 3.6, color, false);
        }
    }
}

/// What a figure is of.
fn of(metric: &str, unit: &str) -> &'static str {
    match (metric, unit) {
        ("load" | "full scan", _) => "time a record",
        ("space of a change", _) => "bytes",
        (_, "bytes") => "bytes a record",
        (_, "per second") => "a second",
        ("delete", _) => "time a version",
        _ => "time",
    }
}

/// A figure without digits that say nothing.
fn short(figure: f64, unit: &str) -> String {
    let units: [&str; 4] =
        if unit == "ns" { ["ns", "µs", "ms", "s"] } else { ["", "k", "M", "G"] };
    let mut figure = figure;
    let mut units = units.into_iter();
    let mut name = units.next().unwrap_or_default();
    for next in units {
        if figure < 1000.0 {
            break;
        }
        figure /= 1000.0;
        name = next;
    }
    let space = if unit == "ns" { " " } else { "" };
    format!("{figure}{space}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::check_is_well_formed;

    const ROWS: &str = "axis,backend,x,metric,unit,median,low,high\n\
        records,mem,10000,get,ns,500.0,400.0,700.0\n\
        records,mem,100000,get,ns,900.0,800.0,1000.0\n\
        records,lsm,10000,open,ns,1000000000.0,1000000000.0,1000000000.0\n\
        threads,mem,1,get,per second,600000.0,500000.0,700000.0\n\
        records,mem,10000,get,ns,550.0,450.0,750.0\n";

    #[test]
    fn panels_are_in_the_order_of_the_file_and_the_later_row_counts() -> Result {
        let panels = parse(ROWS, "records")?;
        let names: Vec<_> = panels.iter().map(|((metric, _), _)| metric.as_str()).collect();
        assert_eq!(names, ["get", "open"]);
        let mem = panels.first().and_then(|(_, lines)| lines.get("mem"));
        assert_eq!(
            mem,
            Some(&vec![[10_000.0, 550.0, 450.0, 750.0], [100_000.0, 900.0, 800.0, 1000.0]])
        );
        Ok(())
    }

    #[test]
    fn picture_is_well_formed_and_names_what_it_shows() -> Result {
        let svg = picture("A < B", "records", &parse(ROWS, "records")?).to_string();
        check_is_well_formed(&svg);
        assert!(svg.contains("A &lt; B") && svg.contains("get, time") && svg.contains("100k"));
        Ok(())
    }

    #[test]
    fn row_that_is_none_is_refused() {
        assert!(parse("records,mem\n", "records").is_err());
        assert!(parse("records,mem,x,get,ns,1,1,1\n", "records").is_err());
    }
}
