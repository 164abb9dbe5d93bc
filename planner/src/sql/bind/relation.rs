//! Relations of a FROM clause, and joins.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, Spanned, TableAlias, TableFactor, TableVersion, TableWithJoins,
};

use super::scope::{Column, Columns, Relation, Scope, Withs, fits, shown};
use super::{Binder, Exact, NamedTable, ambiguous};
use crate::sql::refuse::place;
use crate::sql::version::Version;
use crate::{PlannerError, Result};

impl Binder<'_> {
    pub(super) fn table_with_joins(
        &mut self,
        table: &mut TableWithJoins,
        scope: &mut Scope<'_>,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<()> {
        super::with_stack(|| {
            let start = scope.relations.len();
            self.table_factor(&mut table.relation, scope, outer, withs)?;
            for join in &mut table.joins {
                self.join(join, start, scope, outer, withs)?;
            }
            Ok(())
        })
    }

    fn join(
        &mut self,
        join: &mut Join,
        start: usize,
        scope: &mut Scope<'_>,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<()> {
        let right = scope.relations.len();
        self.table_factor(&mut join.relation, scope, outer, withs)?;
        let outer_right = matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        );
        let at = join.relation.span();
        if let Some(constraint) = constraint(&mut join.join_operator) {
            if outer_right
                && matches!(
                    constraint,
                    JoinConstraint::Using(_) | JoinConstraint::Natural
                )
            {
                // The engine takes the left side's column for the joined one: null where only the right has a row.
                return Err(PlannerError::unsupported(
                    "USING and NATURAL in a RIGHT or FULL JOIN are not supported (write ON)",
                )
                .at(place(at)));
            }
            match constraint {
                JoinConstraint::On(expr) => self.exprs([expr], scope, None, withs)?,
                JoinConstraint::Using(names) => {
                    for name in names {
                        self.using(name, start, right, scope)?;
                    }
                }
                JoinConstraint::Natural => self.natural(start, right, scope, &join.relation)?,
                JoinConstraint::None => {}
            }
        }
        match join.join_operator {
            JoinOperator::LeftSemi(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::Semi(_)
            | JoinOperator::Anti(_) => {
                scope.relations.truncate(right);
            }
            JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => {
                scope.relations.drain(start..right);
            }
            _ => {}
        }
        Ok(())
    }

    /// USING names a column of both sides, which the engine wants spelled alike.
    fn using(
        &mut self,
        name: &mut ObjectName,
        start: usize,
        right: usize,
        scope: &mut Scope<'_>,
    ) -> Result<()> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return Ok(());
        };
        if self.known.is_none() {
            return Ok(());
        }
        let ident = ident.clone();
        let spelled = |relations: &[Relation]| {
            let mut names: Vec<String> = Vec::new();
            for column in relations
                .iter()
                .flat_map(|relation| relation.columns.known())
            {
                if fits(&ident, &column.name)
                    && column.is_visible()
                    && !names.contains(&column.name)
                {
                    names.push(column.name.clone());
                }
            }
            names
        };
        let (left, right) = (
            spelled(&scope.relations[start..right]),
            spelled(&scope.relations[right..]),
        );
        for side in [&left, &right] {
            if side.len() > 1 {
                return Err(ambiguous(
                    &ident.value,
                    side.iter().map(|name| shown(&[name])).collect(),
                    name.span(),
                ));
            }
        }
        match (left.first(), right.first()) {
            (Some(left), Some(right)) if left != right => {
                return Err(PlannerError::invalid(format!(
                    "USING ({}) joins {} and {}, whose names differ in case: write ON",
                    ident.value,
                    shown(&[left]),
                    shown(&[right])
                ))
                .at(place(ident.span)));
            }
            (Some(found), _) | (None, Some(found)) => {
                let relation = standing_for(&scope.relations[start..], found);
                scope.merged.push((found.clone(), relation));
                *name = ObjectName::from(vec![Ident::from_exact(found)]);
            }
            (None, None) => self.no_hidden(&ident, &scope.relations[start..])?,
        }
        Ok(())
    }

    /// A name in USING that no column of either side has: it may be one that `*` leaves out.
    fn no_hidden(&mut self, ident: &Ident, relations: &[Relation]) -> Result<()> {
        let mut columns = relations
            .iter()
            .flat_map(|relation| relation.columns.known());
        if let Some(column) = columns.find(|column| fits(ident, &column.name)) {
            column.check_readable(ident.span)?;
            return Err(PlannerError::unsupported(format!(
                "the metadata column {} in USING is not supported (write ON)",
                column.name
            ))
            .at(place(ident.span)));
        }
        self.note(ident);
        Ok(())
    }

    /// Whether the engine sees the table's metadata columns.
    pub(super) fn is_extended(&self, relation: &Relation) -> bool {
        let known = self.known.map(|known| &known.extended);
        relation
            .table
            .zip(known)
            .is_some_and(|(at, extended)| extended.contains(&at))
    }

    /// NATURAL joins what is spelled alike; columns that differ only in case would silently not be joined.
    fn natural(
        &mut self,
        start: usize,
        right: usize,
        scope: &mut Scope<'_>,
        at: &TableFactor,
    ) -> Result<()> {
        if self.known.is_none() {
            return Ok(());
        }
        if scope.relations[start..]
            .iter()
            .any(|relation| self.is_extended(relation))
        {
            // The engine would join by the metadata columns too.
            return Err(PlannerError::unsupported(
                "NATURAL JOIN of a table whose metadata columns are named is not supported (write ON)",
            )
            .at(place(at.span())));
        }
        let mut merged = Vec::new();
        let visible = |relations: &[Relation]| -> Vec<Column> {
            let columns = relations
                .iter()
                .flat_map(|relation| relation.columns.known());
            columns
                .filter(|column| column.is_visible())
                .cloned()
                .collect()
        };
        let (before, joined) = scope.relations[start..].split_at(right - start);
        for column in &visible(joined) {
            for other in &visible(before) {
                if column.name == other.name {
                    merged.push((
                        column.name.clone(),
                        standing_for(&scope.relations[start..], &column.name),
                    ));
                } else if column.name.to_lowercase() == other.name.to_lowercase() {
                    return Err(PlannerError::invalid(format!(
                        "NATURAL JOIN meets {} and {}, whose names differ in case: write ON",
                        shown(&[&other.name]),
                        shown(&[&column.name])
                    ))
                    .at(place(at.span())));
                }
            }
        }
        scope.merged.extend(merged);
        Ok(())
    }

    fn table_factor(
        &mut self,
        factor: &mut TableFactor,
        scope: &mut Scope<'_>,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<()> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version,
                ..
            } => {
                let relation = self.table(name, version, withs)?;
                scope.relations.push(aliased(relation, alias.as_ref()));
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } => {
                self.table_function(
                    name,
                    args.args.iter_mut(),
                    alias.as_ref(),
                    scope,
                    outer,
                    withs,
                )?;
            }
            TableFactor::Function {
                name, args, alias, ..
            } => {
                self.table_function(name, args.iter_mut(), alias.as_ref(), scope, outer, withs)?;
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let columns = if *lateral {
                    let seen = Scope {
                        relations: scope.relations.clone(),
                        merged: scope.merged.clone(),
                        outer: scope.outer,
                    };
                    self.query(subquery, Some(&seen), withs)?
                } else {
                    self.query(subquery, outer, withs)?
                };
                let nameless = Relation::nameless(columns);
                scope.relations.push(aliased(nameless, alias.as_ref()));
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let start = scope.relations.len();
                self.table_with_joins(table_with_joins, scope, outer, withs)?;
                if let Some(alias) = alias {
                    let inner: Vec<Relation> = scope.relations.drain(start..).collect();
                    let columns = inner
                        .into_iter()
                        .fold(Columns::Known(Vec::new()), |all, relation| {
                            all.and(relation.columns.visible())
                        });
                    let nameless = Relation::nameless(columns);
                    scope.relations.push(aliased(nameless, Some(alias)));
                }
            }
            TableFactor::UNNEST {
                alias, array_exprs, ..
            } => {
                self.exprs(array_exprs.iter_mut(), scope, None, withs)?;
                let nameless = Relation::nameless(Columns::Open);
                scope.relations.push(aliased(nameless, alias.as_ref()));
            }
            _ => scope.relations.push(Relation::nameless(Columns::Open)),
        }
        Ok(())
    }

    /// A table or a WITH query; its name is put right, and a version becomes part of it.
    fn table(
        &mut self,
        name: &mut ObjectName,
        version: &mut Option<TableVersion>,
        withs: &Withs,
    ) -> Result<Relation> {
        if let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() {
            let fitting = withs.fitting(ident);
            match fitting.as_slice() {
                [_, ..] if version.is_some() => {
                    return Err(PlannerError::unsupported(format!(
                        "AS OF after {}, a WITH query, is not supported: write it inside, after a table's name",
                        ident.value
                    ))
                    .at(place(ident.span)));
                }
                [(found, columns)] => {
                    let relation = Relation::alias(found, (*columns).clone());
                    let exact = Ident {
                        value: found.to_string(),
                        quote_style: Some('"'),
                        span: ident.span,
                    };
                    *name = ObjectName::from(vec![exact]);
                    return Ok(relation);
                }
                [] => {}
                several => {
                    let names = several.iter().map(|(found, _)| shown(&[found])).collect();
                    return Err(ambiguous(&ident.value, names, ident.span));
                }
            }
        }
        let asked = version.as_ref().map(Version::of_ast).transpose()?;
        let Some(known) = self.known else {
            let named = NamedTable {
                name: name.clone(),
                version: asked,
            };
            let same = |known: &NamedTable| {
                known.version == named.version && known.name.to_string() == name.to_string()
            };
            if !self.named.iter().any(same) {
                self.named.push(named);
            }
            return Ok(Relation::nameless(Columns::Open));
        };
        let Some((at, table)) = known.get(name, asked) else {
            return Err(
                PlannerError::not_found(format!("there is no table {name}"), Vec::new())
                    .at(place(name.span())),
            );
        };
        let mut spelled: Vec<String> = table.full[3 - name.0.len().min(3)..].to_vec();
        if let (Some(own), Some(stands_as)) = (spelled.last_mut(), &table.stands_as) {
            own.clone_from(stands_as);
        }
        // The engine would read the newest version without a word.
        *version = None;
        *name = ObjectName::from(spelled.iter().map(Ident::from_exact).collect::<Vec<_>>());
        Ok(Relation {
            spelled,
            full: table.full.to_vec(),
            table: Some(at),
            columns: Columns::of(table, at),
        })
    }

    fn table_function<'a>(
        &mut self,
        name: &mut ObjectName,
        args: impl Iterator<Item = &'a mut FunctionArg>,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
        outer: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<()> {
        let nothing = Scope::new(outer);
        for arg in args {
            if let Some(expr) = argument(arg) {
                self.exprs([expr], &nothing, None, withs)?;
            }
        }
        // The engine looks functions up by their lower-case names.
        let lower = name.to_string().to_lowercase();
        *name = ObjectName::from(vec![Ident::new(lower.as_str())]);
        let columns = match lower.as_str() {
            "generate_series" | "range" => Columns::Known(vec![Column::named("value")]),
            _ => Columns::Open,
        };
        scope
            .relations
            .push(aliased(Relation::alias(&lower, columns), alias));
        Ok(())
    }
}

/// The first relation that has the column: of those joined by it, the one on the left.
fn standing_for(relations: &[Relation], name: &str) -> Vec<String> {
    relations
        .iter()
        .find(|relation| {
            relation
                .columns
                .known()
                .iter()
                .any(|column| column.name == name)
        })
        .map(|relation| relation.spelled.clone())
        .unwrap_or_default()
}

fn argument(arg: &mut FunctionArg) -> Option<&mut Expr> {
    let arg = match arg {
        FunctionArg::Named { arg, .. }
        | FunctionArg::ExprNamed { arg, .. }
        | FunctionArg::Unnamed(arg) => arg,
    };
    match arg {
        FunctionArgExpr::Expr(expr) => Some(expr),
        _ => None,
    }
}

fn aliased(relation: Relation, alias: Option<&TableAlias>) -> Relation {
    let Some(alias) = alias else { return relation };
    let names: Vec<String> = alias
        .columns
        .iter()
        .map(|column| column.name.value.clone())
        .collect();
    Relation {
        table: relation.table,
        ..Relation::alias(&alias.name.value, relation.columns.renamed(&names))
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint) => Some(constraint),
        _ => None,
    }
}
