//! What a metadata document says that tokens carry as their issuer: one text, or one around the id of the token's tenant.

/// What Entra's documents for many tenants say where the tenant's id stands in a token.
const PLACEHOLDER: &str = "{tenantid}";

/// How long an id of a tenant is.
const ID_LENGTH: usize = 36;

/// The form of the issuers of one document: what stands around the tenant's id, wherever that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerForm {
    around: Vec<String>,
    own: Option<String>,
}

// === impl IssuerForm ===

impl IssuerForm {
    /// Reads a document's `issuer`: `{tenantid}` stands for a tenant's id, and so does the id of the document's own tenant.
    pub fn of(issuer: &str) -> Self {
        let own = issuer.split('/').find(|segment| is_id(segment));
        let tenant = if issuer.contains(PLACEHOLDER) { Some(PLACEHOLDER) } else { own };
        let around = tenant.map_or_else(|| vec![issuer.to_owned()], |tenant| issuer.split(tenant).map(str::to_owned).collect());
        Self { around, own: own.map(str::to_owned) }
    }

    /// The id of the document's own tenant, where it is one tenant's.
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// Whether it is the issuer of this tenant's tokens.
    pub fn is_of(&self, issuer: &str, tenant: &str) -> bool {
        let mut pieces = self.around.iter();
        let first = pieces.next().and_then(|first| issuer.strip_prefix(first.as_str()));
        pieces.try_fold(first, |rest, piece| Some(rest?.strip_prefix(tenant)?.strip_prefix(piece.as_str()))).flatten() == Some("")
    }

    /// The id of the tenant whose issuer it is; `None`: it is not of this form, or the form has no tenant in it.
    pub fn tenant_in<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        let rest = issuer.strip_prefix(self.around.first()?.as_str())?;
        let id = rest.get(..ID_LENGTH).filter(|id| is_id(id) && self.around.len() > 1)?;
        self.is_of(issuer, id).then_some(id)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::IssuerForm;

    const OWN: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
    const OTHER: &str = "11111111-2b34-4da1-9baa-8bc8c9d6a490";

    #[test]
    fn aut_12_the_tenants_id_stands_for_the_tokens_wherever_it_stands() {
        for (document, token) in [
            ("https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(), "https://login.microsoftonline.com/TID/v2.0"),
            (format!("https://login.microsoftonline.com/{OWN}/v2.0"), "https://login.microsoftonline.com/TID/v2.0"),
            (format!("https://sts.windows.net/{OWN}/"), "https://sts.windows.net/TID/"),
            (format!("https://{OWN}.ciamlogin.com/{OWN}/v2.0"), "https://TID.ciamlogin.com/TID/v2.0"),
            ("https://h/{tenantid}".to_owned(), "https://h/TID"),
        ] {
            let form = IssuerForm::of(&document);
            for tenant in [OWN, OTHER] {
                let issuer = token.replace("TID", tenant);
                assert!(form.is_of(&issuer, tenant), "{document} {issuer}");
                assert_eq!(form.tenant_in(&issuer), Some(tenant), "{document}");
                let other = if tenant == OWN { OTHER } else { OWN };
                assert!(!form.is_of(&issuer, other), "{document} {issuer}");
                for wrong in [format!("{issuer}x"), format!("x{issuer}"), issuer.replacen(tenant, "", 1), String::new()] {
                    assert!(!form.is_of(&wrong, tenant) && form.tenant_in(&wrong).is_none(), "{document} {wrong}");
                }
            }
        }
        let mixed = format!("https://{OWN}.ciamlogin.com/{OTHER}/v2.0");
        let form = IssuerForm::of(&format!("https://{OWN}.ciamlogin.com/{OWN}/v2.0"));
        assert!(!form.is_of(&mixed, OWN) && !form.is_of(&mixed, OTHER) && form.tenant_in(&mixed).is_none());
        assert_eq!((form.own(), IssuerForm::of("https://h/{tenantid}/v2.0").own()), (Some(OWN), None));
    }

    #[test]
    fn an_issuer_without_a_tenant_is_every_tenants() {
        let form = IssuerForm::of("https://id.example/shop");
        assert!(form.is_of("https://id.example/shop", OWN) && !form.is_of("https://id.example/shop/", OWN));
        assert_eq!((form.own(), form.tenant_in("https://id.example/shop")), (None, None));
    }
}
