//! The `zhiban` command. Arguments, signals and exit codes; nothing else.

fn main() {}
