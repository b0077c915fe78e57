//! A file of environment variables, as `docker run --env-file`, Compose, systemd and `kubectl set env --list` write it:
//! `NAME=value`, one each line. `__` in a name separates the levels of ASP.NET Core's configuration.

use crate::finding::Complaint;
use crate::secret::Secret;

use super::setting::{ForeignSetting, Rank, Spot, Variable};

/// What hosts of ASP.NET Core read before anything else, the weaker first; a file's values stand over theirs.
const OF_THE_HOST: [&str; 2] = ["ASPNETCORE_", "DOTNET_"];

/// Reads a whole file.
///
/// # Errors
/// The line, and what is wrong there; never what is written.
pub(super) fn variables(text: &str, file: &str) -> Result<Vec<Variable>, (Spot, Complaint)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let spot = Spot { file: file.to_owned(), line: index + 1, column: None };
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err((spot, Complaint::new("there is no `=` in this line", "write NAME=value, one variable each line")));
        };
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            let remedy = "write NAME=value; a name has letters, digits, `_`, `-`, `.` and `:`";
            return Err((spot, Complaint::new("what stands before the `=` is no name", remedy)));
        }
        let value = unquoted(value.trim());
        found.push(variable(name, value, spot));
    }
    Ok(found)
}

fn variable(name: &str, value: &str, spot: Spot) -> Variable {
    let after = |prefix: &str| {
        let head = name.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| name.get(prefix.len()..))?
    };
    let [asp_net_core, dot_net] = OF_THE_HOST;
    let (own, rank) = match (after(asp_net_core), after(dot_net)) {
        (Some(own), _) => (own, Rank::AspNetCore),
        (None, Some(own)) => (own, Rank::DotNet),
        (None, None) => (name, Rank::Environment),
    };
    let path = own.replace("__", ":").split(':').map(str::to_owned).collect();
    Variable { name: name.to_owned(), leaf: ForeignSetting { path, value: Secret::new(value), spot }, rank }
}

/// Compose and systemd take a pair of quotes away.
fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::{Rank, variables};

    #[test]
    fn names_become_paths_and_values_stay_as_they_are() {
        let text = "# a comment\n\nexport AzureAd__ClientId = a=b\r\nASPNETCORE_URLS=\"http://+:5000\"\ndotnet_x:y='z'\nEMPTY=\n";
        let found = variables(text, "s.env").unwrap_or_else(|(spot, problem)| panic!("{spot}: {problem}"));
        let flat: Vec<_> = found
            .iter()
            .map(|one| (one.leaf.path.join(":"), one.leaf.value.expose(), one.rank, one.leaf.spot.line))
            .map(|(path, value, rank, line)| (path, value.to_owned(), rank, line))
            .collect();
        let expected = [
            ("AzureAd:ClientId", "a=b", Rank::Environment, 3),
            ("URLS", "http://+:5000", Rank::AspNetCore, 4),
            ("x:y", "z", Rank::DotNet, 5),
            ("EMPTY", "", Rank::Environment, 6),
        ];
        assert_eq!(flat, expected.map(|(path, value, rank, line)| (path.to_owned(), value.to_owned(), rank, line)));
    }

    #[test]
    fn a_line_that_is_no_variable_is_placed_and_not_quoted() {
        for text in ["A=1\ncanary", "A=1\n=canary", "A=1\ncanary canary=1"] {
            let (spot, problem) = variables(text, "s.env").err().expect("an error");
            assert_eq!(spot.to_string(), "s.env, line 2");
            assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
        }
    }
}
