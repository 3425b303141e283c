//! The report: tables and pictures, made from the saved results alone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::args::ReportArgs;
use crate::engines::Group;
use crate::markdown;
use crate::pictures;
use crate::results::Saved;
use crate::stats::Spread;
use crate::table::{self, Filled};

/// Between these lines a page is rewritten.
const BEGIN: &str = "<!-- figures: written by `compare report --docs` -->";
const END: &str = "<!-- end of figures -->";

/// Writes the report of a saved run.
pub fn report(args: &ReportArgs) -> Result {
    write(&args.out, args.docs.as_deref())
}

/// Writes the report into the directory of the results, and into a page if one
/// is given, with its pictures beside it.
pub fn write(out: &Path, docs: Option<&Path>) -> Result {
    let saved = Saved::read(out)?;
    let pictures = pictures::all(&saved);
    for (name, svg) in &pictures {
        fs::write(out.join(format!("{name}.svg")), svg.to_string())?;
    }
    fs::write(out.join("summary.csv"), summary(&saved))?;
    fs::write(out.join("report.md"), whole(&saved, &pictures))?;
    print!("{}", highlights(&saved));
    println!("the report: {}", out.join("report.md").display());
    if let Some(page) = docs {
        let images = page.parent().unwrap_or(Path::new(".")).join("img");
        fs::create_dir_all(&images)?;
        for (name, svg) in &pictures {
            fs::write(images.join(format!("{name}.svg")), svg.to_string())?;
        }
        let text = fs::read_to_string(page)?;
        fs::write(page, replaced(&text, &in_brief(&saved))?)?;
        println!("the page:   {}", page.display());
        for (group, name) in GROUPS {
            let tables = tables(&saved, group, name, false);
            if !tables.is_empty() {
                fs::write(page.with_file_name(beside(page, group)), own_page(name, &tables))?;
            }
        }
    }
    Ok(())
}

const GROUPS: [(Group, &str); 2] = [(Group::Mem, "In memory"), (Group::Disk, "On disk")];

fn section(text: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        _ = write!(text, "\n{title}\n\n{body}");
    }
}

fn tables(saved: &Saved, group: Group, name: &str, has_latency: bool) -> String {
    let mut text = String::new();
    let throughput = table::fill_all(saved, table::throughput(), group);
    if !throughput.is_empty() {
        let body =
            markdown::summary(&throughput) + "\n" + &markdown::ratios(saved, &throughput, group);
        section(&mut text, &format!("## {name}: operations a second"), body.trim_start());
    }
    let latency = table::fill_all(saved, table::latency(), group);
    if has_latency && !latency.is_empty() {
        let body = markdown::ratios(saved, &latency, group);
        section(&mut text, &format!("## {name}: latency"), &body);
    }
    let absolute = table::fill_all(saved, table::absolute(group), group);
    if !absolute.is_empty() {
        let body = markdown::figures(saved, &absolute, group);
        section(&mut text, &format!("## {name}: space and time taken"), &body);
    }
    let versions = table::fill_all(saved, table::versions(), group);
    if !versions.is_empty() {
        let body = markdown::figures(saved, &versions, group);
        section(&mut text, &format!("## {name}: versions (Vellum alone has them)"), &body);
    }
    text
}

/// Everything.
fn whole(saved: &Saved, pictures: &[(String, crate::svg::Svg)]) -> String {
    let mut text = format!("# Vellum beside its peers\n\n{}", markdown::about(saved));
    text.push_str(
        "\nEvery column holds the ratio to the base of its line, the median of the rounds' \
         ratios: above 1 is better, also for latencies. A raised percentage is the share of \
         attempts that lost and were repeated. Italic columns lack transactions or snapshots.\n",
    );
    for (group, name) in GROUPS {
        text.push_str(&tables(saved, group, name, true));
        for (picture, _) in pictures {
            if picture.ends_with(group.name()) {
                _ = write!(text, "\n![{picture}]({picture}.svg)\n");
            }
        }
    }
    section(&mut text, "## The engines", &markdown::about_engines(saved));
    section(&mut text, "## Without a figure", &markdown::missing(saved));
    text
}

/// What the page of the book holds: the tables have pages of their own.
fn in_brief(saved: &Saved) -> String {
    let mut text = markdown::about(saved);
    text.push('\n');
    text.push_str(&highlights(saved));
    text
}

/// The name of the page of a group's tables, beside `page`.
fn beside(page: &Path, group: Group) -> String {
    let stem = page.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{}.md", group.name())
}

/// A page of tables, without latencies, which the pictures show.
fn own_page(name: &str, tables: &str) -> String {
    format!(
        "# {name}: Vellum beside its peers\n\nWritten by `compare report --docs`; \
         [Comparison](comparison.md) says how to read it.\n{tables}"
    )
}

/// A page with what stands between its markers replaced.
fn replaced(page: &str, figures: &str) -> Result<String> {
    let missing = || format!("the page lacks the lines {BEGIN} and {END}");
    let (head, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, tail) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{head}{BEGIN}\n\n{}\n\n{END}{tail}", figures.trim()))
}

/// What a run ends with on the terminal.
fn highlights(saved: &Saved) -> String {
    let mut text = String::new();
    for (group, name) in GROUPS {
        let summary = markdown::summary(&table::fill_all(saved, table::throughput(), group));
        if !summary.is_empty() {
            _ = write!(text, "{name}:\n\n{summary}\n");
        }
    }
    let wrong = saved.rows.iter().filter(|row| row.why.starts_with("WRONG"));
    for row in wrong {
        _ = writeln!(text, "{}, {}: {}", row.engine, row.workload, row.why);
    }
    text
}

/// Every figure of every engine, as CSV.
fn summary(saved: &Saved) -> String {
    let mut text = String::from(
        "group,workload,figure,engine,median,min,max,base,ratio,ratio_min,ratio_max,lost,why\n",
    );
    let optional = |spread: Option<Spread>| {
        spread.map_or(",,".to_owned(), |s| format!("{},{},{}", s.median, s.min, s.max))
    };
    for (group, _) in GROUPS {
        let mut lines = table::throughput();
        lines.extend(table::latency());
        lines.extend(table::absolute(group));
        lines.extend(table::versions());
        for Filled { line, base, values, .. } in table::fill_all(saved, lines, group) {
            let base = base.map_or("", |base| base.name);
            for value in values {
                _ = writeln!(
                    text,
                    "{},{},{},{},{},{base},{},{},{}",
                    group.name(),
                    line.workload,
                    line.figure,
                    value.entry.name,
                    optional(value.figure),
                    optional(value.ratio),
                    value.lost,
                    value.why.unwrap_or_default(),
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_keeps_all_but_what_is_between_its_markers() {
        let page = format!("# A\n\n{BEGIN}\nold\n{END}\n\nB\n");
        let new = replaced(&page, "new\n").unwrap_or_default();
        assert_eq!(new, format!("# A\n\n{BEGIN}\n\nnew\n\n{END}\n\nB\n"));
        assert_eq!(replaced(&new, "new").unwrap_or_default(), new, "twice is once");
        assert!(replaced("# A", "new").is_err());
    }
}
