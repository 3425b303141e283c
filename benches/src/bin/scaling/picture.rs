//! The picture: a panel a path, operations a second by cores.

use vellum_benches::svg::{Anchor, Axis, Font, GRID, PALE, Svg};

use crate::report::{CORES, Row, short};

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
const SIMULATED: &str = "#1864ab";
const MEASURED: &str = "#e8590c";

pub(crate) fn draw(rows: &[Row]) -> Svg {
    let mut svg = Svg::new(WIDTH, TOP + PANEL * rows.len().div_ceil(COLUMNS) as f64);
    let title = "Operations a second by the number of cores, simulated";
    svg.text((EDGE, 30.0), title, TITLE, Anchor::Start);
    let y = 50.0;
    svg.path(&[(EDGE, y), (EDGE + 24.0, y)], SIMULATED, 2.6, false);
    svg.dot((EDGE + 12.0, y), 3.6, SIMULATED, false);
    svg.text((EDGE + 31.0, y + 4.0), "simulated", SMALL, Anchor::Start);
    svg.dot((EDGE + 122.0, y), 4.4, MEASURED, true);
    svg.text((EDGE + 133.0, y + 4.0), "measured, 1 and 2 threads", SMALL, Anchor::Start);
    svg.path(&[(EDGE + 300.0, y), (EDGE + 324.0, y)], PALE, 1.2, true);
    svg.text((EDGE + 331.0, y + 4.0), "in step with the cores", SMALL, Anchor::Start);
    let width = (WIDTH - 2.0 * EDGE) / COLUMNS as f64;
    for (i, row) in rows.iter().enumerate() {
        let left = EDGE + width * (i % COLUMNS) as f64;
        let top = TOP + PANEL * (i / COLUMNS) as f64;
        panel(&mut svg, (left + 52.0, left + width - 24.0), top, row);
    }
    svg
}

fn panel(svg: &mut Svg, (left, right): (f64, f64), top: f64, row: &Row) {
    let (above, below) = (top + 14.0, top + 14.0 + HEIGHT);
    let points: Vec<(f64, f64)> =
        CORES.iter().enumerate().map(|(n, cores)| (*cores as f64, row.rate(n))).collect();
    let one = row.rate(0);
    let linear = points.iter().map(|(cores, _)| (*cores, one * cores));
    let xs = Axis::over(points.iter().map(|(cores, _)| *cores), left, right);
    let rates = points.iter().map(|(_, rate)| *rate).chain(linear.clone().map(|(_, rate)| rate));
    let ys = Axis::over(rates.chain(row.measured), below, above);
    let (Some(xs), Some(ys)) = (xs, ys) else { return };
    svg.text((left, top), &format!("{}, a second", row.path.name()), LABEL, Anchor::Start);
    for mark in ys.marks() {
        svg.line((left, ys.at(mark)), (right, ys.at(mark)), GRID, 1.0);
        let figure = short(mark);
        let figure = figure.replace(".00", "").replace(".0", "");
        svg.text((left - 6.0, ys.at(mark) + 4.0), &figure, SMALL, Anchor::End);
    }
    for (cores, _) in &points {
        svg.text((xs.at(*cores), below + 17.0), &cores.to_string(), SMALL, Anchor::Middle);
    }
    svg.text(((left + right) / 2.0, below + 34.0), "cores", SMALL, Anchor::Middle);
    let at = |(cores, rate): (f64, f64)| (xs.at(cores), ys.at(rate));
    svg.path(&linear.map(at).collect::<Vec<_>>(), PALE, 1.2, true);
    let points: Vec<_> = points.into_iter().map(at).collect();
    svg.path(&points, SIMULATED, 2.6, false);
    points.iter().for_each(|point| svg.dot(*point, 3.6, SIMULATED, false));
    for (threads, rate) in [1.0, 2.0].into_iter().zip(row.measured) {
        svg.dot(at((threads, rate)), 4.4, MEASURED, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::rows;

    #[test]
    fn picture_names_every_path_and_holds_no_figure_that_is_none() {
        let rows = rows();
        let svg = draw(&rows).to_string();
        assert!(rows.iter().all(|row| svg.contains(row.path.name())));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<circle").count(), rows.len() * (CORES.len() + 2) + 2);
    }
}
