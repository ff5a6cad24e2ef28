//! The keys of a bucket, which environment variables hold. Without them, `object_store` asks the
//! metadata address of a cloud, which most machines do not have.

use bitx::ErrorKind;

use crate::fault::Fault;

/// The kinds of buckets: the schemes of their URLs, the variables of which one must be set, and the
/// advice for a machine with a role.
const KINDS: [(&[&str], &[&str], &str); 3] = [
    (
        &["s3", "s3a"],
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_SKIP_SIGNATURE",
            "AWS_METADATA_ENDPOINT",
        ],
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_SKIP_SIGNATURE=true for a public bucket, or \
         AWS_METADATA_ENDPOINT=http://169.254.169.254 on a machine whose role has access",
    ),
    (
        &["gs"],
        &[
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SKIP_SIGNATURE",
        ],
        "set GOOGLE_APPLICATION_CREDENTIALS to the path of a key file, or GOOGLE_SKIP_SIGNATURE=true for a public \
         bucket",
    ),
    (
        &["az", "adl", "azure", "abfs", "abfss"],
        &[
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_STORAGE_TOKEN",
            "AZURE_STORAGE_CLIENT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_IDENTITY_ENDPOINT",
            "AZURE_MSI_ENDPOINT",
            "AZURE_USE_AZURE_CLI",
            "AZURE_SKIP_SIGNATURE",
        ],
        "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true for a public \
         container",
    ),
];

/// Refuses the URL of a bucket for which no keys are set.
pub fn check(root: &str) -> anyhow::Result<()> {
    let scheme = root.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    let Some((_, names, advice)) = KINDS.iter().find(|(schemes, ..)| schemes.contains(&scheme.as_str())) else {
        return Ok(());
    };
    // The storage accepts the names of variables in any case.
    let set = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let found = std::env::vars_os().any(|(name, value)| set(&name.to_string_lossy()) && !value.is_empty());
    let message = || format!("{root}: the environment holds no keys for the bucket: {advice}");
    anyhow::ensure!(found || well_known(&scheme), Fault::new(ErrorKind::InvalidArgument, message()));
    Ok(())
}

/// Tells whether Google's tools have left credentials in their usual place.
fn well_known(scheme: &str) -> bool {
    let home = std::env::home_dir().filter(|_| scheme == "gs");
    home.is_some_and(|home| home.join(".config/gcloud/application_default_credentials.json").exists())
}
