//! A lake in a temporary directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use futures::TryStreamExt;
use landfast_catalog::{
    CatalogName, MemberKind, MemberSpec, Namespace, NamespaceSpec, Pin, SqlSpec,
};
use landfast_sites::{
    FileSpec, Holdings, MappingSpec, SiteId, SiteSpec, Sites, SitesSpec, StoreSpec, Timeouts,
};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::engine::{
    CommandOutcome, Described, Engine, EngineSpec, NameColumns, NamesWanted, PlanRequest,
    PlannedQuery, SystemTables,
};
use crate::{Access, Asker, Groups, PlannerError, Result, Role, SessionSettings, Statement};

pub(super) struct Lake {
    dir: TempDir,
    pub(super) engine: Arc<Engine>,
    pub(super) settings: SessionSettings,
    when_asked: WhenAsked,
}

/// What happens the next time that somebody asks which system tables there are.
type WhenAsked = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// `landfast.system.numbers`, `.whoami`, and `.about`, which has a line for each of three tables and counts those that were
/// wanted.
struct Numbers {
    when_asked: WhenAsked,
}

#[async_trait]
impl SystemTables for Numbers {
    fn tables(&self) -> Vec<(&'static str, SchemaRef)> {
        let happens = self.when_asked.lock().take();
        if let Some(happens) = happens {
            happens();
        }
        let field = |name: &str, of| Field::new(name, of, true);
        vec![
            (
                "numbers",
                Arc::new(Schema::new(vec![
                    field("n", DataType::Int64),
                    field("even", DataType::Utf8),
                ])),
            ),
            (
                "about",
                Arc::new(Schema::new(vec![
                    field("of", DataType::Utf8),
                    field("schema", DataType::Utf8),
                    field("table", DataType::Utf8),
                    field("wanted", DataType::Int64),
                ])),
            ),
            (
                "whoami",
                Arc::new(Schema::new(vec![field("principal", DataType::Utf8)])),
            ),
        ]
    }

    fn names(&self, table: &str) -> Option<NameColumns> {
        (table == "about").then_some(["of", "schema", "table"])
    }

    async fn rows(
        &self,
        table: &str,
        asker: &Asker,
        _access: &Access,
        wanted: &NamesWanted,
    ) -> Result<Vec<RecordBatch>> {
        let schema = self
            .tables()
            .into_iter()
            .find(|(name, _)| *name == table)
            .map(|(_, schema)| schema);
        let schema = schema.ok_or_else(|| PlannerError::internal("no such table"))?;
        if table == "whoami" {
            let names = StringArray::from(vec![asker.principal.as_str()]);
            return Ok(vec![RecordBatch::try_new(schema, vec![Arc::new(names)])?]);
        }
        if table == "about" {
            let all = [
                ["lake", "a", "one"],
                ["lake", "a", "two"],
                ["plant", "b", "three"],
            ];
            let kept = wanted.of(all.to_vec(), |name| name.map(str::to_owned))?;
            let column = |at: usize| -> arrow::array::ArrayRef {
                Arc::new(StringArray::from_iter_values(
                    kept.iter().map(|name| name[at]),
                ))
            };
            let count = Int64Array::from(vec![kept.len() as i64; kept.len()]);
            let columns = vec![column(0), column(1), column(2), Arc::new(count)];
            return Ok(vec![RecordBatch::try_new(schema, columns)?]);
        }
        let n = Int64Array::from_iter_values(0..10);
        let even =
            StringArray::from_iter_values((0..10).map(|n| if n % 2 == 0 { "yes" } else { "no" }));
        Ok(vec![RecordBatch::try_new(
            schema,
            vec![Arc::new(n), Arc::new(even)],
        )?])
    }
}

pub(super) fn asker(role: Role) -> Asker {
    Asker {
        principal: "ada".to_string(),
        role,
        groups: Groups::default(),
        session: None,
    }
}

impl Lake {
    /// Schemas `tpch` and `a.b` in the catalog `lake`; tables with mixed-case columns, one twin pair.
    pub(super) async fn new() -> Self {
        let lake = Self::empty(|_| {}).await;
        for text in [
            "CREATE SCHEMA lake.tpch",
            "CREATE SCHEMA lake.\"a.b\"",
            "CREATE SCHEMA lake.\"Mixed\"",
        ] {
            lake.run(text).await.unwrap();
        }
        lake.table(
            "lake.tpch.orders",
            &[
                ("o_orderkey", "long"),
                ("o_comment", "string"),
                ("o_total", "decimal(15, 2)"),
            ],
        )
        .await;
        lake.table(
            "lake.tpch.\"Spark\"",
            &[
                ("orderKey", "long"),
                ("lineNumber", "int"),
                ("shipDate", "date"),
            ],
        )
        .await;
        lake.table("lake.tpch.twin", &[("a", "long")]).await;
        lake.table("lake.tpch.\"TWIN\"", &[("a", "long")]).await;
        lake.table(
            "lake.\"a.b\".deep",
            &[("x", "timestamptz"), ("y", "double")],
        )
        .await;
        lake
    }

    pub(super) async fn empty(change: impl FnOnce(&mut EngineSpec)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        let here = SiteId::new("here").unwrap();
        let sites = Sites::new(SitesSpec {
            sites: vec![SiteSpec {
                id: here.clone(),
                store: StoreSpec::File(FileSpec {
                    root: dir.path().join("store"),
                }),
                mappings: vec![MappingSpec {
                    prefix: "gs://lake/".into(),
                    at: Some("lake/".into()),
                    origin: true,
                }],
                holdings: Holdings::AssumeAll,
                simulated: None,
                timeouts: Timeouts::default(),
            }],
            links: vec![],
            reader: here,
        })
        .unwrap();
        let member = MemberSpec {
            name: CatalogName::new("lake").unwrap(),
            kind: MemberKind::Sql(SqlSpec {
                url: format!(
                    "sqlite://{}?mode=rwc",
                    dir.path().join("catalog.db").display()
                )
                .into(),
                catalog_name: "lake".into(),
                create_tables: true,
            }),
            timeout: Duration::from_secs(20),
        };
        let namespace = Namespace::new(NamespaceSpec::new(vec![member]), sites).unwrap();
        let mut spec = EngineSpec::new(namespace);
        spec.target_partitions = 2;
        change(&mut spec);
        let engine = Engine::new(spec).unwrap();
        let when_asked = WhenAsked::default();
        engine.set_system_tables(Arc::new(Numbers {
            when_asked: Arc::clone(&when_asked),
        }));
        let mut settings = SessionSettings::default();
        settings.set("landfast.schema", "tpch").unwrap();
        Self {
            dir,
            engine,
            settings,
            when_asked,
        }
    }

    /// Something happens in the middle of the next listing.
    pub(super) fn within_a_listing(&self, happens: impl FnOnce() + Send + 'static) {
        *self.when_asked.lock() = Some(Box::new(happens));
    }

    /// Where the buckets are.
    pub(super) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Writes metadata of a table without rows and registers it.
    pub(super) async fn table(&self, name: &str, columns: &[(&str, &str)]) {
        let uri = self.metadata(name, columns);
        self.run(&format!("CALL landfast.register_table('{name}', '{uri}')"))
            .await
            .unwrap();
    }

    pub(super) fn metadata(&self, name: &str, columns: &[(&str, &str)]) -> String {
        let key: String = name.chars().filter(|c| *c != '"').collect();
        let dir = self.dir.path().join("store/lake").join(&key);
        std::fs::create_dir_all(&dir).unwrap();
        let fields: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(at, (name, of))| {
                format!(
                    r#"{{"id":{},"name":"{name}","required":{},"type":"{of}"}}"#,
                    at + 1,
                    at == 0
                )
            })
            .collect();
        let text = format!(
            r#"{{"format-version":2,"table-uuid":"{}","location":"gs://lake/{key}","last-sequence-number":0,
            "last-updated-ms":1,"last-column-id":{},"current-schema-id":0,
            "schemas":[{{"type":"struct","schema-id":0,"fields":[{}]}}],
            "default-spec-id":0,"partition-specs":[{{"spec-id":0,"fields":[]}}],"last-partition-id":999,
            "default-sort-order-id":0,"sort-orders":[{{"order-id":0,"fields":[]}}],
            "properties":{{}},"snapshots":[],"snapshot-log":[],"metadata-log":[]}}"#,
            uuid::Uuid::new_v4(),
            columns.len(),
            fields.join(",")
        );
        std::fs::write(dir.join("v1.metadata.json"), text).unwrap();
        format!("gs://lake/{key}/v1.metadata.json")
    }

    pub(super) async fn run(&self, text: &str) -> Result<CommandOutcome> {
        self.run_as(text, Role::Engineer, None).await
    }

    pub(super) async fn run_as(
        &self,
        text: &str,
        role: Role,
        row: Option<&RecordBatch>,
    ) -> Result<CommandOutcome> {
        match self.engine.parse(text)? {
            Statement::Command(command) => {
                self.engine
                    .run(&command, row, &self.settings, &asker(role))
                    .await
            }
            Statement::Query(_) => panic!("{text} is no command"),
        }
    }

    pub(super) async fn describe(&self, text: &str) -> Result<Described> {
        let statement = self.engine.parse(text)?;
        self.engine
            .describe(&statement, &self.settings, &asker(Role::Reader))
            .await
    }

    pub(super) async fn plan(
        &self,
        text: &str,
        row: Option<&RecordBatch>,
        pins: &[Pin],
    ) -> Result<PlannedQuery> {
        let Statement::Query(statement) = self.engine.parse(text)? else {
            panic!("{text} is no query")
        };
        let asker = asker(Role::Reader);
        let request = PlanRequest {
            statement: &statement,
            parameters: row,
            settings: &self.settings,
            asker: &asker,
            pins,
            now_unix_ns: None,
            query_id: "q",
        };
        self.engine.plan(request).await
    }

    /// The rows, after checking that every batch has the one schema of the statement.
    pub(super) async fn batches(
        &self,
        text: &str,
        row: Option<&RecordBatch>,
    ) -> Result<Vec<RecordBatch>> {
        let described = self.describe(text).await?;
        let planned = self.plan(text, row, &[]).await?;
        assert_eq!(described.schema, planned.schema(), "{text}");
        let stream = planned.execute()?;
        assert_eq!(described.schema, stream.schema(), "{text}");
        let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(PlannerError::from)?;
        for batch in &batches {
            assert_eq!(described.schema, batch.schema(), "{text}");
        }
        Ok(batches)
    }

    /// The rows as text, one line each, cells divided by `|`.
    pub(super) async fn rows(&self, text: &str) -> Vec<String> {
        lines(
            &self
                .batches(text, None)
                .await
                .unwrap_or_else(|error| panic!("{text}: {error}")),
        )
    }

    pub(super) async fn bound(&self, text: &str, row: &RecordBatch) -> Vec<String> {
        lines(
            &self
                .batches(text, Some(row))
                .await
                .unwrap_or_else(|error| panic!("{text}: {error}")),
        )
    }

    pub(super) async fn error(&self, text: &str) -> PlannerError {
        match self.batches(text, None).await {
            Ok(batches) => panic!("{text} gave {:?}", lines(&batches)),
            Err(error) => error,
        }
    }
}

pub(super) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    text.lines()
        .skip(3)
        .filter(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            cells.join("|")
        })
        .collect()
}

/// `name:type?` of each column, `?` when nullable.
pub(super) fn shape(schema: &SchemaRef) -> Vec<String> {
    let nullable = |field: &Field| if field.is_nullable() { "?" } else { "" };
    schema
        .fields()
        .iter()
        .map(|f| format!("{}:{}{}", f.name(), f.data_type(), nullable(f)))
        .collect()
}
