//! The Azure SDKs that `make test-peers` has ask tokend for a managed identity's token.

use serde_json::json;

use super::identity::{Stage, Way};
use crate::clients::Library;

/// The tests that every library has to pass, in a module of its name.
macro_rules! tries {
    ($module:ident, $library:ident) => {
        mod $module {
            use crate::clients::Library;

            #[tokio::test]
            async fn gets_tokens() {
                crate::doors::identity::gets_tokens(&Library::$library).await;
            }

            #[tokio::test]
            async fn is_told_why_it_gets_none_and_asks_once() {
                crate::doors::identity::is_told_why(&Library::$library).await;
            }
        }
    };
}

tries!(azidentity, AZIDENTITY);
tries!(azure_identity_js, AZURE_IDENTITY_JS);
tries!(azure_identity_python, AZURE_IDENTITY_PYTHON);
tries!(azure_identity_rust, AZURE_IDENTITY_RUST);
tries!(msal_go, MSAL_GO);
tries!(msal_node, MSAL_NODE);
tries!(msal_python, MSAL_PYTHON);

#[tokio::test]
async fn the_sdks_default_credential_finds_it() {
    let stage = Stage::new().await;
    for library in [&Library::AZIDENTITY, &Library::AZURE_IDENTITY_JS, &Library::AZURE_IDENTITY_PYTHON] {
        assert_eq!(stage.of(library, Way::AppService, json!({"flow": "default"})).await, "daemon", "{}", library.name);
    }
}

#[tokio::test]
async fn they_take_it_for_the_instance_metadata_service() {
    let stage = Stage::new().await;
    // MSAL for Node.js puts a slash behind the path.
    let libraries = [&Library::AZURE_IDENTITY_JS, &Library::AZURE_IDENTITY_PYTHON, &Library::MSAL_NODE, &Library::MSAL_PYTHON];
    for library in libraries {
        assert_eq!(stage.of(library, Way::Metadata, json!({})).await, "daemon", "{}", library.name);
    }
}
