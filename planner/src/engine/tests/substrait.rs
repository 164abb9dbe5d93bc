//! Substrait plans: the same names, grants, snapshots and schemas as of statements.

use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use datafusion_substrait::logical_plan::producer::to_substrait_plan;
use futures::TryStreamExt;
use prost::Message;
use substrait::proto::expression::field_reference::ReferenceType;
use substrait::proto::expression::reference_segment::{ReferenceType as Segment, StructField};
use substrait::proto::expression::{FieldReference, ReferenceSegment, RexType};
use substrait::proto::rel::RelType;
use substrait::proto::rel_common::{Emit, EmitKind};
use substrait::proto::set_rel::SetOp;
use substrait::proto::{
    AggregateRel, Expression, Plan, ProjectRel, Rel, RelCommon, SetRel, aggregate_rel, plan_rel,
};

use super::lake::{Lake, asker, lines};
use super::tpch;
use crate::access::{AccessPolicy, Action, Grant, Grantee, NamePattern, RowFilter};
use crate::engine::{Described, PlannedQuery};
use crate::{ErrorKind, PlannerError, Result, Role, Statement};

/// The plan that DataFusion makes of a query over these tables, which it knows by these names.
async fn made(sql: &str, tables: &[(&str, &Described)]) -> Plan {
    let context = SessionContext::new();
    for (name, described) in tables {
        let table = EmptyTable::new(Arc::clone(&described.schema));
        context.register_table(*name, Arc::new(table)).unwrap();
    }
    let state = context.state();
    let plan = state.create_logical_plan(sql).await.unwrap();
    // Its producer has no words for queries that depend on others; the optimiser makes joins of them.
    let made = to_substrait_plan(&plan, &state);
    *made
        .or_else(|_| to_substrait_plan(&state.optimize(&plan)?, &state))
        .unwrap()
}

impl Lake {
    /// The plan that somebody makes who knows the columns of a table.
    async fn made_of(&self, sql: &str, name: &str, table: &str) -> Plan {
        let columns = self.describe(&format!("SELECT * FROM {table}")).await;
        made(sql, &[(name, &columns.unwrap())]).await
    }

    fn substrait(&self, plan: &Plan) -> Result<Statement> {
        self.engine.parse_substrait(plan.encode_to_vec().into())
    }

    async fn describe_plan(&self, plan: &Plan) -> Result<Described> {
        let statement = self.substrait(plan)?;
        let asker = asker(Role::Reader);
        self.engine
            .describe(&statement, &self.settings, &asker)
            .await
    }

    async fn planned(&self, plan: &Plan) -> Result<PlannedQuery> {
        let Statement::Query(statement) = self.substrait(plan)? else {
            panic!("a plan is no command")
        };
        self.plan_statement(&statement, Role::Reader).await
    }

    /// The rows, after checking that every path has one schema.
    async fn rows_of(&self, plan: &Plan) -> Result<Vec<String>> {
        let described = self.describe_plan(plan).await?;
        let planned = self.planned(plan).await?;
        assert_eq!(described.schema, planned.schema());
        let batches: Vec<_> = planned
            .execute()?
            .try_collect()
            .await
            .map_err(PlannerError::from)?;
        for batch in &batches {
            assert_eq!(described.schema, batch.schema());
        }
        Ok(match batches.is_empty() {
            true => Vec::new(),
            false => lines(&batches),
        })
    }

    async fn refusal_of(&self, plan: &Plan) -> PlannerError {
        match self.rows_of(plan).await {
            Ok(rows) => panic!("it gave {rows:?}"),
            Err(error) => error,
        }
    }
}

fn grant(lake: &Lake, on: &str, columns: Option<&[&str]>, rows: Option<&str>) {
    let grant = Grant {
        to: vec![Grantee::User("ada".to_string())],
        on: vec![NamePattern::parse(on).unwrap()],
        actions: [Action::Select].into(),
        columns: columns.map(|columns| columns.iter().map(ToString::to_string).collect()),
        rows: rows.map(|text| RowFilter::parse(text).unwrap()),
        ..Grant::default()
    };
    lake.engine
        .set_policy(AccessPolicy::new(vec![grant], &[Role::Operator]));
}

#[tokio::test]
async fn plans_of_the_22_queries_give_what_the_queries_do() {
    let lake = Lake::empty(|_| {}).await;
    tpch::register(&lake).await;
    let mut tables = Vec::new();
    for (name, _) in tpch::TABLES {
        let described = lake.describe(&format!("SELECT * FROM {name}")).await;
        tables.push((name, described.unwrap()));
    }
    let tables: Vec<_> = tables
        .iter()
        .map(|(name, described)| (*name, described))
        .collect();
    for (at, sql) in tpch::QUERIES.into_iter().enumerate() {
        let plan = made(sql, &tables).await;
        let told = lake.describe_plan(&plan).await;
        let told = told.unwrap_or_else(|error| panic!("query {}: {error}", at + 1));
        let asked = lake.describe(sql).await.unwrap();
        let names = |described: &Described| {
            let fields = described.schema.fields().iter();
            fields.map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&told), names(&asked), "query {}", at + 1);
        let rows = lake.rows_of(&plan).await;
        rows.unwrap_or_else(|error| panic!("query {}: {error}", at + 1));
    }
}

#[tokio::test]
async fn a_name_of_one_two_or_three_parts_in_any_case_means_the_table_it_means_in_sql() {
    let lake = Lake::new().await;
    let columns = lake.describe("SELECT * FROM orders").await.unwrap();
    for name in ["orders", "ORDERS"] {
        let quoted = format!("\"{name}\"");
        let plan = made(
            &format!("SELECT o_comment FROM {quoted}"),
            &[(&quoted, &columns)],
        )
        .await;
        assert!(lake.rows_of(&plan).await.unwrap().is_empty());
    }
    let mut plan = made("SELECT o_comment FROM t", &[("t", &columns)]).await;
    for names in [
        vec!["tpch", "orders"],
        vec!["lake", "tpch", "orders"],
        vec!["LAKE", "TPCH", "ORDERS"],
    ] {
        rename(&mut plan, &names);
        assert!(lake.rows_of(&plan).await.unwrap().is_empty(), "{names:?}");
    }
    // Twins in two cases are told apart by exactly theirs.
    let twins = lake.describe("SELECT * FROM \"TWIN\"").await.unwrap();
    for name in ["twin", "TWIN"] {
        let mut plan = made("SELECT a FROM t", &[("t", &twins)]).await;
        rename(&mut plan, &["lake", "tpch", name]);
        let planned = lake.planned(&plan).await.unwrap();
        assert_eq!(planned.pins()[0].table.table, name);
    }
    rename(&mut plan, &["lake", "tpch", "nothing"]);
    let error = lake.refusal_of(&plan).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let mut system = made("SELECT a FROM t", &[("t", &twins)]).await;
    rename(&mut system, &["landfast", "system", "numbers"]);
    let error = lake.refusal_of(&system).await.to_string();
    assert!(error.contains("there is no column a"), "{error}");
}

/// Gives the one table that a plan reads another name.
fn rename(plan: &mut Plan, names: &[&str]) {
    use substrait::proto::read_rel::ReadType;
    fn read(rel: &mut Rel, names: &[&str]) {
        match rel.rel_type.as_mut().unwrap() {
            RelType::Project(project) => read(project.input.as_mut().unwrap(), names),
            RelType::Filter(filter) => read(filter.input.as_mut().unwrap(), names),
            RelType::Join(join) => {
                read(join.left.as_mut().unwrap(), names);
                read(join.right.as_mut().unwrap(), names);
            }
            RelType::Cross(cross) => {
                read(cross.left.as_mut().unwrap(), names);
                read(cross.right.as_mut().unwrap(), names);
            }
            RelType::Read(rel) => {
                let Some(ReadType::NamedTable(named)) = &mut rel.read_type else {
                    panic!("it reads no table")
                };
                named.names = names.iter().map(ToString::to_string).collect();
            }
            other => panic!("{other:?}"),
        }
    }
    read(root(plan), names);
}

fn root(plan: &mut Plan) -> &mut Rel {
    match plan.relations[0].rel_type.as_mut().unwrap() {
        plan_rel::RelType::Root(root) => root.input.as_mut().unwrap(),
        plan_rel::RelType::Rel(rel) => rel,
    }
}

#[tokio::test]
async fn a_table_that_is_not_granted_is_unknown_in_the_words_that_any_other_is() {
    let lake = Lake::new().await;
    let columns = lake.describe("SELECT * FROM orders").await.unwrap();
    grant(&lake, "lake.tpch.twin", None, None);
    let mut hidden = made("SELECT o_comment FROM t", &[("t", &columns)]).await;
    rename(&mut hidden, &["lake", "tpch", "orders"]);
    let mut unknown = hidden.clone();
    rename(&mut unknown, &["lake", "tpch", "ordexx"]);
    let hidden = lake.refusal_of(&hidden).await;
    let unknown = lake.refusal_of(&unknown).await;
    assert_eq!(hidden.kind(), ErrorKind::NotFound);
    assert_eq!(
        hidden.to_string(),
        unknown.to_string().replace("ordexx", "orders")
    );
}

#[tokio::test]
async fn a_plan_sees_the_granted_columns_of_the_granted_rows_alone() {
    let lake = Lake::new().await;
    let all = lake.describe("SELECT * FROM orders").await.unwrap();
    let whole = made("SELECT o_total FROM orders", &[("orders", &all)]).await;
    grant(
        &lake,
        "lake.tpch.orders",
        Some(&["o_orderkey", "o_comment"]),
        Some("o_orderkey > 7"),
    );
    let error = lake.refusal_of(&whole).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(
        error.to_string().contains("there is no column o_total"),
        "{error}"
    );
    let part = lake
        .made_of(
            "SELECT o_comment FROM orders WHERE o_orderkey = 1",
            "orders",
            "orders",
        )
        .await;
    assert!(lake.rows_of(&part).await.unwrap().is_empty());
}

#[tokio::test]
async fn unknown_functions_are_refused_by_name() {
    let lake = Lake::new().await;
    let mut plan = lake
        .made_of(
            "SELECT upper(o_comment) AS c, sum(o_total) AS t FROM orders GROUP BY 1",
            "orders",
            "orders",
        )
        .await;
    use substrait::proto::extensions::simple_extension_declaration::MappingType;
    let known = plan.clone();
    for at in 0..plan.extensions.len() {
        plan = known.clone();
        if let Some(MappingType::ExtensionFunction(function)) =
            &mut plan.extensions[at].mapping_type
        {
            function.name = "frobnicate:str".into();
        }
        let error = lake.refusal_of(&plan).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("frobnicate"), "{error}");
        assert!(error.to_string().contains("made by datafusion"), "{error}");
    }
    plan = known;
    plan.extensions.clear();
    let error = lake.refusal_of(&plan).await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[tokio::test]
async fn columns_that_are_not_there_end_the_statement_and_not_the_process() {
    let lake = Lake::new().await;
    let good = lake
        .made_of("SELECT o_comment FROM orders", "orders", "orders")
        .await;
    let column = |at: i32| Expression {
        rex_type: Some(RexType::Selection(Box::new(FieldReference {
            reference_type: Some(ReferenceType::DirectReference(ReferenceSegment {
                reference_type: Some(Segment::StructField(Box::new(StructField {
                    field: at,
                    child: None,
                }))),
            })),
            root_type: None,
        }))),
    };
    let wrap = |plan: &Plan, expressions: Vec<Expression>, mapping: Option<Vec<i32>>| {
        let mut plan = plan.clone();
        let input = root(&mut plan).clone();
        plan.relations[0].rel_type = Some(plan_rel::RelType::Rel(Rel {
            rel_type: Some(RelType::Project(Box::new(ProjectRel {
                common: mapping.map(|output_mapping| RelCommon {
                    emit_kind: Some(EmitKind::Emit(Emit { output_mapping })),
                    ..RelCommon::default()
                }),
                input: Some(Box::new(input)),
                expressions,
                ..ProjectRel::default()
            }))),
        }));
        plan
    };
    for (at, mapping) in [
        (99, None),
        (-1, None),
        (0, Some(vec![2])),
        (0, Some(vec![-1])),
    ] {
        let bad = wrap(&good, vec![column(at)], mapping);
        let error = lake.refusal_of(&bad).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    // A column may be named as often as anybody likes.
    let again = wrap(&good, vec![column(0)], Some(vec![1, 0, 0, 1, 0]));
    assert_eq!(
        lake.describe_plan(&again)
            .await
            .unwrap()
            .schema
            .fields()
            .len(),
        5
    );
}

#[tokio::test]
async fn a_column_that_each_level_adds_to_itself_keeps_a_short_name() {
    let lake = Lake::new().await;
    let sql = "SELECT o_orderkey + o_orderkey FROM orders";
    let plan = lake.made_of(sql, "orders", "orders").await;
    let RelType::Project(project) = root(&mut plan.clone()).rel_type.clone().unwrap() else {
        panic!("it computes nothing")
    };
    let expressions = project.expressions;
    let computed = |input: Rel| {
        RelType::Project(Box::new(ProjectRel {
            common: Some(RelCommon {
                emit_kind: Some(EmitKind::Emit(Emit {
                    output_mapping: vec![1],
                })),
                ..RelCommon::default()
            }),
            input: Some(Box::new(input)),
            expressions: expressions.clone(),
            ..ProjectRel::default()
        }))
    };
    let grouped = |input: Rel| {
        RelType::Aggregate(Box::new(AggregateRel {
            input: Some(Box::new(input)),
            grouping_expressions: expressions.clone(),
            groupings: vec![aggregate_rel::Grouping {
                expression_references: vec![0],
                ..aggregate_rel::Grouping::default()
            }],
            ..AggregateRel::default()
        }))
    };
    for level in [&computed as &dyn Fn(Rel) -> RelType, &grouped] {
        let nested = |levels: usize| {
            let mut plan = plan.clone();
            let mut deep = root(&mut plan).clone();
            for _ in 0..levels {
                deep = Rel {
                    rel_type: Some(level(deep)),
                };
            }
            plan.relations[0].rel_type = Some(plan_rel::RelType::Rel(deep));
            plan
        };
        let plan = nested(9);
        assert!(lake.rows_of(&plan).await.unwrap().is_empty());
        let described = lake.describe_plan(&plan).await.unwrap();
        let name = described.schema.field(0).name();
        // Names of that many levels would be as large as what they name, which is refused.
        let endless = lake.describe_plan(&nested(40)).await.unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::ResourceExhausted, "{endless}");
        assert!(name.len() <= 200, "{name}");
    }
}

#[tokio::test]
async fn sets_compare_columns_by_position_though_two_have_one_name() {
    let lake = Lake::new().await;
    let numbers = lake.describe("SELECT * FROM landfast.system.numbers");
    let numbers = numbers.await.unwrap();
    let of = async |sql: &str| {
        let mut plan = made(sql, &[("t", &numbers)]).await;
        rename(&mut plan, &["landfast", "system", "numbers"]);
        plan
    };
    let all = of("SELECT a.n, b.n FROM t a CROSS JOIN t b").await;
    let same = of("SELECT a.n, b.n FROM t a JOIN t b ON a.n = b.n").await;
    let set = |op: SetOp, inputs: &[&Plan]| {
        let mut plan = same.clone();
        let inputs = inputs
            .iter()
            .map(|input| root(&mut (*input).clone()).clone());
        plan.relations[0].rel_type = Some(plan_rel::RelType::Rel(Rel {
            rel_type: Some(RelType::Set(SetRel {
                inputs: inputs.collect(),
                op: op as i32,
                ..SetRel::default()
            })),
        }));
        plan
    };
    for (op, inputs, count) in [
        (SetOp::MinusPrimary, vec![&all, &same], 90),
        (SetOp::MinusPrimary, vec![&all, &same, &same], 90),
        (SetOp::MinusPrimary, vec![&same, &all], 0),
        (SetOp::IntersectionPrimary, vec![&all, &same, &same], 10),
        (SetOp::IntersectionPrimary, vec![&all, &same, &all], 100),
        (SetOp::IntersectionMultiset, vec![&all, &same, &all], 10),
        (SetOp::UnionAll, vec![&all, &same, &same], 120),
        (SetOp::UnionDistinct, vec![&same, &same, &all], 100),
    ] {
        let rows = lake.rows_of(&set(op, &inputs)).await.unwrap();
        assert_eq!(rows.len(), count, "{op:?} of {}", inputs.len());
    }
    let minus = set(SetOp::MinusPrimary, &[&all, &same]);
    let rows = lake.rows_of(&minus).await.unwrap();
    assert!(rows.contains(&"3|4".to_string()), "{rows:?}");
    assert!(!rows.contains(&"3|3".to_string()), "{rows:?}");
}

#[tokio::test]
async fn a_table_joined_with_itself_thrice_is_read_at_one_snapshot() {
    let lake = Lake::new().await;
    let sql = "SELECT a.o_comment, b.o_total, c.o_orderkey FROM orders a JOIN orders b ON a.o_orderkey = b.o_orderkey \
               JOIN orders c ON b.o_orderkey = c.o_orderkey WHERE EXISTS (SELECT 1 FROM orders d WHERE d.o_total > c.o_total)";
    let plan = lake.made_of(sql, "orders", "orders").await;
    assert!(lake.rows_of(&plan).await.unwrap().is_empty());
    assert_eq!(lake.planned(&plan).await.unwrap().pins().len(), 1);
}

#[tokio::test]
async fn a_column_of_another_type_than_the_plan_was_made_for_is_refused() {
    let lake = Lake::new().await;
    let mut plan = lake.made_of("SELECT a FROM twin", "twin", "\"TWIN\"").await;
    rename(&mut plan, &["lake", "tpch", "orders"]);
    let error = lake.refusal_of(&plan).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let columns = lake.describe("SELECT o_comment AS o_orderkey FROM orders");
    let columns = columns.await.unwrap();
    let plan = made("SELECT o_orderkey FROM orders", &[("orders", &columns)]).await;
    let error = lake.refusal_of(&plan).await.to_string();
    assert!(error.contains("the Substrait plan was made for"), "{error}");
}

#[tokio::test]
async fn a_plan_changed_in_any_byte_is_answered_and_never_panics() {
    let lake = Lake::new().await;
    let sql = "SELECT a.o_comment, sum(b.o_total) AS t, row_number() OVER (ORDER BY a.o_comment) AS n FROM orders a \
               JOIN orders b ON a.o_orderkey = b.o_orderkey WHERE a.o_total BETWEEN 1.5 AND 9 AND a.o_comment LIKE 'x%' \
               GROUP BY a.o_comment ORDER BY 1 LIMIT 7";
    let plan = lake.made_of(sql, "orders", "orders").await;
    let asker = asker(Role::Reader);
    let whole = plan.encode_to_vec();
    let mut understood = 0;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= [0x01, 0x02, 0x08, 0x20, 0x80][at % 5];
        let Ok(statement) = lake.engine.parse_substrait(changed.into()) else {
            continue;
        };
        understood += 1;
        let described = lake.engine.describe(&statement, &lake.settings, &asker);
        if let Err(error) = described.await {
            // What the consumer's panics are turned into, as a last resort.
            let text = error.to_string();
            assert!(
                !text.starts_with("the Substrait plan is malformed ("),
                "byte {at}"
            );
        }
    }
    assert!(understood > 100, "{understood}");
}
