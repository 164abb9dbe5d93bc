//! Object stores that hold the tests' bytes, each a process of its own: fake-gcs-server, moto's S3, Azurite.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use tokio::runtime::Runtime;

pub use self::bucket::Bucket;
use self::bucket::GcsJson;
use crate::parts::Parts;
use crate::process::{Launch, Server, free_port, run_dir};

mod bucket;

/// The account that Azurite knows, and its published key.
pub const AZURE_ACCOUNT: &str = "devstoreaccount1";
/// The published key of [`AZURE_ACCOUNT`].
pub const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// What the S3 server is told; it checks nothing.
pub const S3_ACCESS_KEY: &str = "landfast-tests";
/// The secret to [`S3_ACCESS_KEY`].
pub const S3_SECRET_KEY: &str = "not-a-secret";

/// Runs a future to its end from a test, which is not async.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// The runtime that everything of the harness runs on.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime for the harness"))
}

/// Which API a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Google Cloud Storage.
    Gcs,
    /// S3.
    S3,
    /// Azure Blob.
    Azure,
}

/// A running object store.
#[derive(Debug)]
pub struct Store {
    api: Api,
    endpoint: String,
    _server: Server,
}

impl Store {
    /// fake-gcs-server, as Google's service or as an on-prem store that speaks its API.
    ///
    /// # Errors
    /// When it does not start.
    pub fn gcs() -> Result<Self> {
        let (port, data) = (free_port()?, run_dir("gcs")?);
        let mut launch = Launch::new("fake-gcs-server", Parts::get().fake_gcs()?).remove(&data);
        let at = format!("127.0.0.1:{port}");
        launch.command().args([
            "-scheme",
            "http",
            "-host",
            "127.0.0.1",
            "-port",
            &port.to_string(),
        ]);
        launch
            .command()
            .args([
                "-backend",
                "filesystem",
                "-public-host",
                &at,
                "-filesystem-root",
            ])
            .arg(&data);
        let mut server = launch.start()?;
        server.listening(port)?;
        Ok(Self {
            api: Api::Gcs,
            endpoint: format!("http://{at}"),
            _server: server,
        })
    }

    /// moto's S3 server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn s3() -> Result<Self> {
        let port = free_port()?;
        let mut launch = Launch::new(
            "moto-s3",
            Parts::get().python().with_file_name("moto_server"),
        );
        launch
            .command()
            .args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut server = launch.start()?;
        server.listening(port)?;
        Ok(Self {
            api: Api::S3,
            endpoint: format!("http://127.0.0.1:{port}"),
            _server: server,
        })
    }

    /// Azurite, where the machine has node.
    ///
    /// # Errors
    /// When it does not start.
    pub fn azure() -> Result<Option<Self>> {
        let Some(azurite) = Parts::get().azurite() else {
            return Ok(None);
        };
        let (port, data) = (free_port()?, run_dir("azure")?);
        let mut launch = Launch::new("azurite", "node").remove(&data);
        launch.command().arg(azurite).args([
            "--silent",
            "--skipApiVersionCheck",
            "--blobHost",
            "127.0.0.1",
        ]);
        launch
            .command()
            .args(["--blobPort", &port.to_string(), "--location"])
            .arg(&data);
        let mut server = launch.start()?;
        server.listening(port)?;
        Ok(Some(Self {
            api: Api::Azure,
            endpoint: format!("http://127.0.0.1:{port}"),
            _server: server,
        }))
    }

    /// Which API it speaks.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Where it listens, without a path.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes a bucket (Azure: a container) and gives it.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn make_bucket(&self, name: &str) -> Result<Bucket> {
        let client = reqwest::Client::new();
        let request = match self.api {
            Api::Gcs => {
                let bucket = serde_json::json!({ "name": name });
                client
                    .post(format!("{}/storage/v1/b?project=tests", self.endpoint))
                    .json(&bucket)
            }
            // moto takes requests that nobody signed.
            Api::S3 => client.put(format!("{}/{name}", self.endpoint)),
            // Azurite wants a signature, and object_store makes no containers.
            Api::Azure => return self.make_container(name),
        };
        let answer = block_on(request.send()).with_context(|| format!("make the bucket {name}"))?;
        answer
            .error_for_status()
            .with_context(|| format!("make the bucket {name}"))?;
        self.bucket(name)
    }

    /// A bucket (Azure: a container) that there is.
    ///
    /// # Errors
    /// When the name is none.
    pub fn bucket(&self, name: &str) -> Result<Bucket> {
        let client: Arc<dyn ObjectStore> = match self.api {
            Api::Gcs => {
                let key = serde_json::json!({
                    "gcs_base_url": self.endpoint, "disable_oauth": true,
                    "client_email": "", "private_key": "", "private_key_id": "",
                });
                let builder = GoogleCloudStorageBuilder::new().with_bucket_name(name);
                Arc::new(builder.with_service_account_key(key.to_string()).build()?)
            }
            Api::S3 => {
                let builder = AmazonS3Builder::new()
                    .with_bucket_name(name)
                    .with_endpoint(&self.endpoint);
                let builder = builder.with_allow_http(true).with_region("us-east-1");
                let builder = builder
                    .with_access_key_id(S3_ACCESS_KEY)
                    .with_secret_access_key(S3_SECRET_KEY);
                Arc::new(builder.build()?)
            }
            Api::Azure => {
                let builder = MicrosoftAzureBuilder::new()
                    .with_container_name(name)
                    .with_account(AZURE_ACCOUNT);
                let builder = builder.with_access_key(AZURE_KEY).with_allow_http(true);
                Arc::new(
                    builder
                        .with_endpoint(format!("{}/{AZURE_ACCOUNT}", self.endpoint))
                        .build()?,
                )
            }
        };
        let json = (self.api == Api::Gcs).then(|| GcsJson {
            endpoint: self.endpoint.clone(),
            bucket: name.to_owned(),
            client: reqwest::Client::new(),
        });
        Ok(Bucket {
            name: name.to_owned(),
            client,
            json,
        })
    }

    /// What Azure's own Python client wants to know.
    pub fn azure_connection_string(&self) -> String {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint={}/{AZURE_ACCOUNT};",
            self.endpoint
        )
    }

    fn make_container(&self, name: &str) -> Result<Bucket> {
        let program = "import sys; from azure.storage.blob import BlobServiceClient; \
                       BlobServiceClient.from_connection_string(sys.argv[1]).create_container(sys.argv[2])";
        let mut python = std::process::Command::new(Parts::get().python());
        let done = python
            .args(["-c", program, &self.azure_connection_string(), name])
            .output()?;
        if !done.status.success() {
            return Err(anyhow!(
                "make the container {name}: {}",
                String::from_utf8_lossy(&done.stderr)
            ));
        }
        self.bucket(name)
    }
}
