//! Who is signed in: the listing, page by page, the account that is meant, and signing out.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{ApiClient, encoded};
use super::args::{AccountsArgs, ListOutput, LogoutArgs, Reach};
use super::failure::CommandFailure;
use super::printable::printable;
use crate::cli::print::{err, out};

/// How many accounts a page has: what tokend gives if nothing is said.
const PAGE: usize = 100;

/// How many pages are read: more than anybody can look at.
const PAGES: usize = 1000;

/// How many accounts are named where several could be meant.
const MOST_NAMED: usize = 10;

/// An account, as far as it is chosen by.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ListedAccount {
    pub(super) home_account_id: String,
    pub(super) username: Option<String>,
    tenant_id: Option<String>,
}

/// All of them.
pub(super) struct AccountList {
    accounts: Vec<(ListedAccount, Value)>,
    /// False where one may be missing.
    complete: bool,
}

/// One page, as tokend answers.
#[derive(Deserialize)]
struct AccountPage {
    accounts: Vec<Value>,
    complete: bool,
    next: Option<String>,
}

/// `tokend accounts`.
pub(super) async fn show(args: &AccountsArgs) -> Result<(), CommandFailure> {
    let list = AccountList::read(&ApiClient::new(&args.reach)?, &args.reach).await?;
    list.tell_if_incomplete();
    match args.output {
        ListOutput::Table => out(&list.table()),
        ListOutput::Json => out(&format!("{}\n", list.json())),
    }
    Ok(())
}

/// `tokend logout`.
pub(super) async fn sign_out(args: &LogoutArgs) -> Result<(), CommandFailure> {
    let api = ApiClient::new(&args.reach)?;
    let (chosen, complete) = if args.all {
        let list = AccountList::read(&api, &args.reach).await?;
        (list.accounts.into_iter().map(|(account, _)| account).collect(), list.complete)
    } else {
        (vec![choose(&api, &args.reach, args.account.as_deref()).await.map_err(CommandFailure::of_sign_out)?], true)
    };
    for account in &chosen {
        let path = format!("/accounts/{}{}", encoded(&account.home_account_id), query(&args.reach, &[]));
        api.delete(&path).await?.success()?;
        out(&format!("signed out {}\n", account.name()));
    }
    if chosen.is_empty() {
        out("nobody is signed in\n");
    }
    if complete {
        return Ok(());
    }
    Err(CommandFailure::failed(
        "some accounts may not have been listed, and are signed in still",
        "run `tokend logout --all` again",
    ))
}

/// The account that is meant: by its id, by the name that somebody signed in with, or because it is the only one.
pub(super) async fn choose(api: &ApiClient, reach: &Reach, named: Option<&str>) -> Result<ListedAccount, CommandFailure> {
    if let Some(named) = named
        && let Some(account) = by_id(api, reach, named).await?
    {
        return Ok(account);
    }
    let list = AccountList::read(api, reach).await?;
    list.tell_if_incomplete();
    list.choose(named)
}

/// An account by its id; none where nobody has it, or where a text is none.
async fn by_id(api: &ApiClient, reach: &Reach, id: &str) -> Result<Option<ListedAccount>, CommandFailure> {
    if id.is_empty() {
        return Ok(None);
    }
    let reply = api.get(&format!("/accounts/{}{}", encoded(id), query(reach, &[]))).await?;
    let is_none = reply.problem().is_some_and(|problem| problem.is("unknown_account") || problem.is("invalid_request"));
    if is_none { Ok(None) } else { reply.success()?.read().map(Some) }
}

/// What a request names beside its path.
fn query(reach: &Reach, more: &[(&str, &str)]) -> String {
    let app = reach.app.as_deref().map(|app| ("app", app));
    let pairs: Vec<String> = app.iter().chain(more).map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

// === impl AccountList ===

impl AccountList {
    /// Reads all pages. An account that is renewed meanwhile may come twice, and counts once.
    async fn read(api: &ApiClient, reach: &Reach) -> Result<Self, CommandFailure> {
        let (limit, mut cursor, mut seen) = (PAGE.to_string(), None::<String>, BTreeSet::new());
        let mut list = Self { accounts: Vec::new(), complete: true };
        // Something else than tokend could go on for ever.
        for _ in 0..PAGES {
            let mut more = vec![("limit", &*limit)];
            more.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: AccountPage = api.get(&format!("/accounts{}", query(reach, &more))).await?.success()?.read()?;
            list.complete &= page.complete;
            for value in page.accounts {
                let account = ListedAccount::deserialize(&value).map_err(|_| {
                    CommandFailure::failed("an account of the answer has no id", "see whether it is tokend that answers there")
                })?;
                if seen.insert(account.home_account_id.clone()) {
                    list.accounts.push((account, value));
                }
            }
            match page.next {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                // One that leads to itself has no end.
                Some(_) => return Ok(Self { complete: false, ..list }),
                None => return Ok(list),
            }
        }
        Ok(Self { complete: false, ..list })
    }

    fn tell_if_incomplete(&self) {
        if !self.complete {
            err("tokend: some accounts may be missing: the shared cache cannot be asked, or has them to list still\n");
        }
    }

    /// The account of this name, or the only one.
    fn choose(&self, named: Option<&str>) -> Result<ListedAccount, CommandFailure> {
        let is_meant = |account: &ListedAccount| match named {
            Some(name) => {
                account.home_account_id == name
                    || account.username.as_deref().is_some_and(|own| own.to_lowercase() == name.to_lowercase())
            }
            None => true,
        };
        let mut meant = self.accounts.iter().map(|(account, _)| account).filter(|account| is_meant(account));
        let first = meant.next().ok_or_else(|| match named {
            Some(name) => CommandFailure::sign_in(
                &format!("nobody is signed in as `{name}`"),
                "see `tokend accounts`, or sign in: tokend login",
            ),
            None => CommandFailure::sign_in("nobody is signed in", "sign in: tokend login"),
        })?;
        let others: Vec<String> = meant.take(MOST_NAMED).map(ListedAccount::name).collect();
        if others.is_empty() {
            return Ok(first.clone());
        }
        let what = format!("several accounts could be meant: {}, {}", first.name(), others.join(", "));
        Err(CommandFailure::usage(&what, "say which one by --account and its home account id"))
    }

    fn table(&self) -> String {
        if self.accounts.is_empty() {
            return "nobody is signed in\n".to_owned();
        }
        let mut rows = vec![["NAME", "HOME ACCOUNT ID", "TENANT"].map(str::to_owned)];
        rows.extend(self.accounts.iter().map(|(account, _)| {
            let texts = [account.username.as_deref(), Some(&*account.home_account_id), account.tenant_id.as_deref()];
            texts.map(|text| text.map(printable).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned()))
        }));
        let width =
            |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max().unwrap_or(0);
        let (names, ids) = (width(0), width(1));
        rows.iter().map(|[name, id, tenant]| format!("{name:<names$}  {id:<ids$}  {tenant}\n")).collect()
    }

    fn json(&self) -> Value {
        let accounts: Vec<&Value> = self.accounts.iter().map(|(_, value)| value).collect();
        json!({"accounts": accounts, "complete": self.complete})
    }
}

// === impl ListedAccount ===

impl ListedAccount {
    /// What it is called, and its id.
    pub(super) fn name(&self) -> String {
        let id = printable(&self.home_account_id);
        match self.username.as_deref().map(printable).filter(|name| !name.is_empty()) {
            Some(name) => format!("{name} ({id})"),
            None => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::{Value, json};

    use super::{AccountList, ListedAccount};

    fn list(accounts: &[Value]) -> AccountList {
        let read = |value: &Value| (ListedAccount::deserialize(value).unwrap(), value.clone());
        AccountList { accounts: accounts.iter().map(read).collect(), complete: true }
    }

    #[test]
    fn an_account_is_chosen_by_id_or_by_a_name_that_one_alone_has() {
        let all = list(&[
            json!({"home_account_id": "a.t", "username": "Ana@contoso.example"}),
            json!({"home_account_id": "b.t", "username": "twin@contoso.example"}),
            json!({"home_account_id": "c.t", "username": "twin@contoso.example"}),
            json!({"home_account_id": "d"}),
        ]);
        for (named, id) in [("ana@CONTOSO.example", "a.t"), ("c.t", "c.t"), ("d", "d")] {
            assert_eq!(all.choose(Some(named)).unwrap().home_account_id, id, "{named}");
        }
        let failure = all.choose(Some("twin@contoso.example")).unwrap_err();
        assert!(failure.code == 64 && failure.text.contains("b.t") && failure.text.contains("c.t"), "{}", failure.text);
        assert_eq!(all.choose(Some("eva")).unwrap_err().code, 2);
        assert_eq!(all.choose(None).unwrap_err().code, 64);
        assert_eq!(list(&[]).choose(None).unwrap_err().code, 2);
        assert_eq!(list(&[json!({"home_account_id": "d"})]).choose(None).unwrap().name(), "d");
    }

    #[test]
    fn a_table_has_columns_and_nothing_that_a_terminal_obeys() {
        let all = list(&[
            json!({"home_account_id": "a.t", "username": "ana", "tenant_id": "t"}),
            json!({"home_account_id": "long-id", "username": "e\u{1b}[2J"}),
        ]);
        assert_eq!(all.table(), "NAME   HOME ACCOUNT ID  TENANT\nana    a.t              t\ne [2J  long-id          -\n");
        assert_eq!(list(&[]).table(), "nobody is signed in\n");
        assert_eq!(all.json()["accounts"][1]["home_account_id"], "long-id");
    }
}
