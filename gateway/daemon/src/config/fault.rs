//! A fault of a configuration, profile or rule file: where, what, and what to write instead.
//!
//! One fault is one line of text; it never holds a secret.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

/// How much a fault matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The gateway does not start with it.
    Error,
    /// The gateway starts; somebody should look.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "note",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 when the fault is of the whole file.
    pub line: usize,
    /// The column in characters, from 1; 0 when the fault is of the whole file.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
}

impl Fault {
    /// Whether the gateway may not start with it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            severity: Severity::Error,
            file: path.to_owned(),
            line: 0,
            column: 0,
            what: format!("the file cannot be read ({error})"),
            remedy: "give the path of a file that the gateway may read".to_owned(),
        }
    }

    pub(crate) fn place_order(&self, other: &Self) -> Ordering {
        let place = |fault: &Self| (fault.file.clone(), fault.line, fault.column);
        place(self).cmp(&place(other))
    }
}

/// `file:line:column: what; remedy`, with `warning:` or `note:` before what is not an error.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        let mark = match self.severity {
            Severity::Error => "",
            Severity::Warning => " warning:",
            Severity::Info => " note:",
        };
        write!(f, "{mark} {}", self.what)?;
        if self.remedy.is_empty() {
            return Ok(());
        }
        write!(f, "; {}", self.remedy)
    }
}
