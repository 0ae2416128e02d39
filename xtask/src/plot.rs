//! `cargo xtask plot`: draws the table of docs/worker-classes.md, so that picture and numbers never disagree.

use std::{fmt::Write, fs, path::Path};

const TABLE: &str = "docs/worker-classes.md";
const PICTURE: &str = "docs/worker-classes.svg";

/// The heading of the table, up to where the numbers begin that are drawn.
const HEADING: &str = "| scenario | model | requests/s |";

/// Draws it anew.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let picture = drawn(root)?;
    fs::write(root.join(PICTURE), picture).map_err(|error| format!("{PICTURE}: {error}"))?;
    println!("    {PICTURE} is drawn");
    Ok(())
}

/// Whether the picture is that of the table.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let there = fs::read_to_string(root.join(PICTURE)).map_err(|error| format!("{PICTURE}: {error}"))?;
    if there == drawn(root)? {
        Ok(())
    } else {
        Err(format!("{PICTURE} is not what {TABLE} says; run cargo xtask plot"))
    }
}

fn drawn(root: &Path) -> Result<String, String> {
    let text = fs::read_to_string(root.join(TABLE)).map_err(|error| format!("{TABLE}: {error}"))?;
    draw(&scenarios(&text)?)
}

/// What was asked, and how many requests a second each model answered.
struct Scenario<'a> {
    name: &'a str,
    rates: Vec<(&'a str, f64)>,
}

fn scenarios(text: &str) -> Result<Vec<Scenario<'_>>, String> {
    let rows =
        text.lines().skip_while(|line| !line.starts_with(HEADING)).skip(2).take_while(|line| line.starts_with('|'));
    let mut scenarios: Vec<Scenario<'_>> = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (Some(name), Some(model), Some(rate)) = (cells.get(1), cells.get(2), cells.get(3)) else { continue };
        let rate = rate.replace(',', "").parse().map_err(|_| format!("{TABLE}: '{rate}' is not a rate"))?;
        match scenarios.last_mut().filter(|last| last.name == *name) {
            Some(last) => last.rates.push((model, rate)),
            None => scenarios.push(Scenario { name, rates: vec![(model, rate)] }),
        }
    }
    if scenarios.is_empty() { Err(format!("{TABLE} has no table with the heading {HEADING}")) } else { Ok(scenarios) }
}

const COLOURS: [&str; 4] = ["#4269d0", "#efb118", "#97bbf5", "#3ca951"];
const LEFT: usize = 220;
const WIDTH: usize = 460;
const BAR: usize = 13;
const GAP: usize = 14;
const TOP: usize = 50;

/// One group of bars for each scenario, the longest bar being the best of its group.
fn draw(scenarios: &[Scenario<'_>]) -> Result<String, String> {
    let wrong = |error| format!("cannot draw: {error}");
    let bars: usize = scenarios.iter().map(|scenario| scenario.rates.len() * BAR + GAP).sum();
    let (width, height) = (LEFT + WIDTH + 110, TOP + bars);
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"16\" font-size=\"13\">Requests a second, one worker on one core; in each group the best is the \
         longest</text>"
    )
    .map_err(wrong)?;
    let models: Vec<&str> = scenarios[0].rates.iter().map(|(model, _)| *model).collect();
    for (index, model) in models.iter().enumerate() {
        let x = LEFT + index * 135;
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"26\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"35\">{model}</text>",
            COLOURS[index % COLOURS.len()],
            x + 14
        )
        .map_err(wrong)?;
    }
    let mut y = TOP;
    for scenario in scenarios {
        let best = scenario.rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let middle = y + scenario.rates.len() * BAR / 2 + 4;
        writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>", LEFT - 10, scenario.name)
            .map_err(wrong)?;
        for (model, rate) in &scenario.rates {
            let colour = models.iter().position(|known| known == model).unwrap_or_default() % COLOURS.len();
            let length = ((rate / best) * WIDTH as f64).max(1.0);
            writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.0}\" height=\"{}\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{}\" \
                 font-size=\"10\">{rate:.0}</text>",
                BAR - 2,
                COLOURS[colour],
                LEFT as f64 + length + 5.0,
                y + BAR - 3
            )
            .map_err(wrong)?;
            y += BAR;
        }
        y += GAP;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_the_best_bar_is_the_longest() {
        let text = "x\n| scenario | model | requests/s | p50 |\n| --- | --- | ---: | ---: |\n\
                    | a | one | 50 | 1 |\n| a | two | 100 | 1 |\n| b | one | 7 | 1 |\n\n| c | one | 1 |\n";
        let scenarios = scenarios(text).unwrap();
        assert_eq!(scenarios.len(), 2);
        assert_eq!(scenarios[0].rates, [("one", 50.0), ("two", 100.0)]);
        let svg = draw(&scenarios).unwrap();
        assert!(
            svg.contains(&format!("width=\"{WIDTH}\"")) && svg.contains(&format!("width=\"{}\"", WIDTH / 2)),
            "{svg}"
        );
    }
}
