//! What ps(1) shows of a process of ours.

use crate::sys;

/// `rserve: arbiter [shop] serving`, `rserve: worker sync [shop] serving`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Title {
    /// `None`: the process is left with the title that it has.
    name: Option<String>,
    role: String,
}

impl Title {
    pub(crate) fn arbiter(name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), role: "arbiter".to_owned() }
    }

    pub(crate) fn worker(name: Option<&str>, class: &str) -> Self {
        Self { name: name.map(str::to_owned), role: format!("worker {class}") }
    }

    /// Shows what the process does now.
    pub(crate) fn show(&self, state: &str) {
        if let Some(name) = &self.name {
            sys::set_title(self.text(name, state).as_bytes());
        }
    }

    fn text(&self, name: &str, state: &str) -> String {
        format!("rserve: {} [{name}] {state}", self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_tells_the_role_the_name_and_the_state() {
        assert_eq!(Title::arbiter(None).text("shop", "draining"), "rserve: arbiter [shop] draining");
        assert_eq!(Title::worker(None, "sync").text("shop", "serving"), "rserve: worker sync [shop] serving");
    }
}
