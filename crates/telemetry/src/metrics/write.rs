use std::fmt::{Display, Write};

/// A page in Prometheus' text format, version 0.0.4.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// Begins a metric: what it is called, of what kind it is, and what it tells.
    pub(super) fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A metric with one value.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A metric with a value for each of a label's.
    pub(super) fn each<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (impl AsRef<str>, V)>,
    ) {
        self.metric(name, kind, help);
        for (of, value) in values {
            self.line(format_args!("{name}{{{label}=\"{}\"}} {value}", escaped(of.as_ref())));
        }
    }

    /// A histogram: how many are in each bucket, the last without a bound, and the sum in seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, bounds: &[u64], counts: &[u64], micros: u64) {
        self.metric(name, "histogram", help);
        let mut sum = 0;
        for (index, count) in counts.iter().enumerate() {
            sum += count;
            let bound = bounds.get(index).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound).to_string());
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {sum}"));
        }
        self.line(format_args!("{name}_sum {}", seconds(micros)));
        self.line(format_args!("{name}_count {sum}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("invariant: a string takes what is written");
    }
}

pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// A label's value: what would end it is escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn values_have_labels_and_buckets_add_up() {
        let mut page = Page::default();
        page.each("a_total", "counter", "As.", "of", [("plain", 1), ("a\"b\\c", 2)]);
        page.histogram("b_seconds", "Bs.", &[1000, 500_000], &[3, 0, 2], 1_250_000);
        expect![[r##"
            # HELP a_total As.
            # TYPE a_total counter
            a_total{of="plain"} 1
            a_total{of="a\"b\\c"} 2
            # HELP b_seconds Bs.
            # TYPE b_seconds histogram
            b_seconds_bucket{le="0.001"} 3
            b_seconds_bucket{le="0.5"} 3
            b_seconds_bucket{le="+Inf"} 5
            b_seconds_sum 1.25
            b_seconds_count 5
        "##]]
        .assert_eq(&page.0);
    }
}
