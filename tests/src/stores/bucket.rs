//! Filling buckets, and spoiling them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt};

use super::block_on;

const TRANSFERS: usize = 8;

/// A bucket, for the harness to fill and to spoil.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) name: String,
    pub(super) client: Arc<dyn ObjectStore>,
    pub(super) json: Option<GcsJson>,
}

/// What fake-gcs-server knows in Google's JSON API only: writing and deleting.
#[derive(Clone, Debug)]
pub(super) struct GcsJson {
    pub(super) endpoint: String,
    pub(super) bucket: String,
    pub(super) client: reqwest::Client,
}

impl GcsJson {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let url = format!("{}/upload/storage/v1/b/{}/o", self.endpoint, self.bucket);
        let mut url = url::Url::parse(&url)?;
        url.query_pairs_mut()
            .append_pair("uploadType", "media")
            .append_pair("name", key);
        self.client
            .post(url)
            .body(bytes)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let mut url = url::Url::parse(&self.endpoint)?;
        let segments = url
            .path_segments_mut()
            .map_err(|()| anyhow!("an endpoint without a path"))?;
        { segments }.extend(["storage", "v1", "b", &self.bucket, "o", key]);
        self.client.delete(url).send().await?.error_for_status()?;
        Ok(())
    }
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes an object.
    ///
    /// # Errors
    /// When the store refuses, or the key is none.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> Result<()> {
        block_on(self.put_async(key, bytes.into())).with_context(|| format!("put {key}"))
    }

    async fn put_async(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        if let Some(json) = &self.json {
            return json.put(key, bytes).await;
        }
        self.client
            .put(&object_store::path::Path::parse(key)?, bytes.into())
            .await?;
        Ok(())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        let path = object_store::path::Path::parse(key)?;
        let bytes = block_on(async { self.client.get(&path).await?.bytes().await });
        Ok(bytes.with_context(|| format!("get {key}"))?.to_vec())
    }

    /// Removes an object.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn delete(&self, key: &str) -> Result<()> {
        let deleted = block_on(async {
            if let Some(json) = &self.json {
                return json.delete(key).await;
            }
            Ok(self
                .client
                .delete(&object_store::path::Path::parse(key)?)
                .await?)
        });
        deleted.with_context(|| format!("delete {key}"))
    }

    /// The keys under a prefix, sorted, with their sizes.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let prefix = object_store::path::Path::parse(prefix)?;
        let listed = self
            .client
            .list(Some(&prefix))
            .map_ok(|meta| (meta.location.to_string(), meta.size));
        let mut found: Vec<_> =
            block_on(listed.try_collect()).with_context(|| format!("list {prefix}"))?;
        found.sort();
        Ok(found)
    }

    /// Copies the objects of another store whose keys `wanted` takes; `at` goes before each key.
    ///
    /// # Errors
    /// When a store refuses.
    pub fn copy_from(
        &self,
        source: &Self,
        at: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        let keys: Vec<String> = source
            .list("")?
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| wanted(key))
            .collect();
        let copies = stream::iter(keys.iter().map(|key| async move {
            let from = object_store::path::Path::parse(key)?;
            let bytes = source.client.get(&from).await?.bytes().await?;
            self.put_async(&format!("{at}{key}"), bytes.to_vec()).await
        }));
        block_on(copies.buffer_unordered(TRANSFERS).try_collect::<Vec<_>>())?;
        Ok(keys)
    }

    /// Uploads a directory tree, its paths being the keys.
    ///
    /// # Errors
    /// When a file cannot be read, or the store refuses.
    pub fn put_tree(&self, dir: &Path) -> Result<()> {
        let mut files = Vec::new();
        collect_files(dir, &mut files)?;
        let uploads = stream::iter(files.into_iter().map(|file| async move {
            let key = file
                .strip_prefix(dir)?
                .to_str()
                .ok_or_else(|| anyhow!("a key that is not text"))?;
            self.put_async(key, fs::read(&file)?).await
        }));
        block_on(uploads.buffer_unordered(TRANSFERS).try_collect::<Vec<_>>())?;
        Ok(())
    }

    /// Downloads everything into a directory tree.
    ///
    /// # Errors
    /// When the store refuses, or a file cannot be written.
    pub fn get_tree(&self, dir: &Path) -> Result<()> {
        for (key, _) in self.list("")? {
            let file = dir.join(&key);
            fs::create_dir_all(file.parent().unwrap_or(dir))?;
            fs::write(&file, self.get(&key)?)
                .with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }
}

fn collect_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
