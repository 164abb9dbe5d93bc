//! Names inside expressions.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, ExcludeSelectItem, Expr, Ident, ObjectName, Query, VisitMut, VisitorMut,
    WildcardAdditionalOptions, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::scope::{Column, Columns, Found, Kind, Scope, Withs, fits, shown, unreadable};
use super::{Binder, Exact, ambiguous, window_name};
use crate::sql::refuse::place;
use crate::{PlannerError, Result};

impl Binder<'_> {
    /// Binds expressions in a scope; `aliases` are what the select list puts out, for names that no relation has.
    pub(super) fn exprs<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e mut Expr>,
        scope: &Scope<'_>,
        aliases: Option<&Scope<'_>>,
        withs: &Withs,
    ) -> Result<()> {
        for expr in exprs {
            let mut walker = Walker {
                binder: self,
                scope,
                aliases,
                withs,
                queries: 0,
            };
            if let ControlFlow::Break(error) = expr.visit(&mut walker) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Rewrites a bare name if exactly one column of this scope, and of no other, fits it.
    pub(super) fn bind_if_one_fits(&mut self, ident: &mut Ident, scope: &Scope<'_>) -> bool {
        if self.known.is_none() {
            return false;
        }
        let name = match scope.columns_fitting(ident).as_slice() {
            [(column, _)] => column.name.clone(),
            _ => return false,
        };
        *ident = exact(ident, &name);
        true
    }

    /// Rewrites a bare name; where it has to be qualified, gives the parts to write instead.
    fn bare(
        &mut self,
        ident: &mut Ident,
        scope: &Scope<'_>,
        aliases: Option<&Scope<'_>>,
    ) -> Result<Option<Vec<Ident>>> {
        if self.known.is_none() {
            return Ok(None);
        }
        let mut here = Some((scope, aliases));
        while let Some((scope, aliases)) = here {
            let found = scope.columns_fitting(ident);
            match found.as_slice() {
                [(column, count)] => {
                    column.check_readable(ident.span)?;
                    if let Kind::Metadata(table) = column.kind {
                        // What the select list calls so goes first.
                        if aliases.is_some_and(|aliases| self.bind_if_one_fits(ident, aliases)) {
                            return Ok(None);
                        }
                        if *count > 1 {
                            return Err(in_several(ident));
                        }
                        self.extended.insert(table);
                    }
                    let hides_another = *count > 1
                        && scope.merged_in(&column.name).is_none()
                        && scope
                            .outer
                            .is_some_and(|outer| !outer.columns_fitting(ident).is_empty());
                    if hides_another {
                        // The engine would take the outer one without a word.
                        return Err(in_several(ident));
                    }
                    let name = column.name.clone();
                    *ident = exact(ident, &name);
                    // The engine would call it ambiguous in places: so it gets the relation that stands for all.
                    let relation = scope
                        .merged_in(&name)
                        .filter(|relation| !relation.is_empty());
                    return Ok(relation.map(|relation| {
                        relation
                            .iter()
                            .map(Ident::from_exact)
                            .chain([ident.clone()])
                            .collect()
                    }));
                }
                [] => {}
                several => {
                    let names = several
                        .iter()
                        .map(|(column, _)| shown(&[&column.name]))
                        .collect();
                    return Err(ambiguous(&ident.value, names, ident.span));
                }
            }
            if aliases.is_some_and(|aliases| self.bind_if_one_fits(ident, aliases))
                || scope.is_open()
            {
                return Ok(None);
            }
            here = scope.outer.map(|outer| (outer, None));
        }
        self.note(ident);
        Ok(None)
    }

    /// A column is named: one that can't be read is refused, and one that is there for who names it is noted.
    fn name_column(&mut self, column: &Column, at: Span) -> Result<()> {
        column.check_readable(at)?;
        if let Kind::Metadata(table) = column.kind {
            self.extended.insert(table);
        }
        Ok(())
    }

    fn compound(&mut self, parts: &mut Vec<Ident>, scope: &Scope<'_>) -> Result<()> {
        if self.known.is_none() {
            return Ok(());
        }
        let mut here = Some(scope);
        while let Some(scope) = here {
            let found = scope.qualified(parts);
            match found.as_slice() {
                [one] => {
                    self.name_column(&one.column, parts[one.used - 1].span)?;
                    *parts = rewritten(parts, one)?;
                    return Ok(());
                }
                [] => {}
                several => {
                    let names = several
                        .iter()
                        .map(|found| {
                            let mut all = found.qualifier.clone();
                            all.push(found.column.name.clone());
                            shown(&all)
                        })
                        .collect();
                    return Err(ambiguous(&written(parts), names, parts[0].span));
                }
            }
            // No relation qualifies it: a column, then, and its fields.
            let columns: Vec<Column> = scope
                .columns_fitting(&parts[0])
                .into_iter()
                .map(|(column, _)| column.clone())
                .collect();
            match columns.as_slice() {
                [column] => {
                    self.name_column(column, parts[0].span)?;
                    let found = Found {
                        qualifier: Vec::new(),
                        column: column.clone(),
                        used: 1,
                    };
                    *parts = rewritten(parts, &found)?;
                    return Ok(());
                }
                [] => {}
                several => {
                    let names = several
                        .iter()
                        .map(|column| shown(&[&column.name]))
                        .collect();
                    return Err(ambiguous(&parts[0].value, names, parts[0].span));
                }
            }
            // A relation whose columns nobody knows yet: its own name can be put right.
            for length in (1..parts.len().min(4)).rev() {
                if let [relation] = scope.relations_fitting(&parts[..length]).as_slice() {
                    let rest = parts.split_off(length);
                    *parts = relation
                        .spelled
                        .iter()
                        .map(Ident::from_exact)
                        .chain(rest)
                        .collect();
                    if let Some(last) = parts.last().cloned() {
                        self.note(&last);
                    }
                    return Ok(());
                }
            }
            if scope.is_open() {
                return Ok(());
            }
            here = scope.outer;
        }
        for part in parts.iter() {
            self.note(part);
        }
        Ok(())
    }

    /// EXCLUDE, EXCEPT and REPLACE of a `*`; gives what is left of its columns.
    pub(super) fn wildcard_options(
        &mut self,
        options: &mut WildcardAdditionalOptions,
        columns: Columns,
        scope: &Scope<'_>,
        withs: &Withs,
    ) -> Result<Columns> {
        let own = Scope::of_output(columns.clone(), None);
        let mut left_out = Vec::new();
        let mut bind = |binder: &mut Self, ident: &mut Ident| -> Result<()> {
            binder.bare(ident, &own, None)?;
            left_out.push(ident.value.clone());
            Ok(())
        };
        let mut bind_name = |binder: &mut Self, name: &mut ObjectName| -> Result<()> {
            let ident = name.0.last().and_then(|part| part.as_ident()).cloned();
            let Some(mut ident) = ident else {
                return Ok(());
            };
            bind(binder, &mut ident)?;
            if name.0.len() == 1 {
                *name = ObjectName::from(vec![ident]);
            }
            Ok(())
        };
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => bind_name(self, name)?,
            Some(ExcludeSelectItem::Multiple(names)) => {
                for name in names {
                    bind_name(self, name)?;
                }
            }
            None => {}
        }
        if let Some(except) = &mut options.opt_except {
            bind(self, &mut except.first_element)?;
            for ident in &mut except.additional_elements {
                bind(self, ident)?;
            }
        }
        if let Some(replace) = &mut options.opt_replace {
            for item in &mut replace.items {
                self.bare(&mut item.column_name, &own, None)?;
                self.exprs([&mut item.expr], scope, None, withs)?;
            }
        }
        Ok(columns.without(&left_out))
    }
}

fn in_several(ident: &Ident) -> PlannerError {
    PlannerError::invalid(format!(
        "column {} is in more than one relation: qualify it",
        ident.value
    ))
    .at(place(ident.span))
}

/// The identifier that means exactly this name, in the same place.
fn exact(ident: &Ident, name: &str) -> Ident {
    Ident {
        value: name.to_string(),
        quote_style: Some('"'),
        span: ident.span,
    }
}

fn written(parts: &[Ident]) -> String {
    parts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(".")
}

/// A found name spelled as the engine knows it, its struct fields too.
fn rewritten(parts: &[Ident], found: &Found) -> Result<Vec<Ident>> {
    let mut all: Vec<Ident> = found.qualifier.iter().map(Ident::from_exact).collect();
    all.push(exact(&parts[found.used - 1], &found.column.name));
    let mut data_type = found.column.data_type.clone();
    for part in &parts[found.used..] {
        let Some(DataType::Struct(fields)) = &data_type else {
            all.push(part.clone());
            continue;
        };
        let fitting: Vec<_> = fields
            .iter()
            .filter(|field| fits(part, field.name()))
            .collect();
        match fitting.as_slice() {
            [field] => {
                all.push(exact(part, field.name()));
                data_type = Some(field.data_type().clone());
            }
            [] => {
                let path: Vec<&str> = parts[found.used..]
                    .iter()
                    .map(|part| part.value.as_str())
                    .collect();
                let lost = |(lost, _): &&(String, String)| {
                    let lost: Vec<&str> = lost.split('.').collect();
                    let mut both = lost.iter().zip(&path);
                    lost.len() <= path.len() && both.all(|(a, b)| a.eq_ignore_ascii_case(b))
                };
                if let Some((_, of)) = found.column.unreadable.iter().find(lost) {
                    return Err(unreadable(&written(parts), of, part.span));
                }
                let names = fields.iter().map(|field| field.name().as_str());
                return Err(PlannerError::not_found(
                    format!(
                        "{} has no field {}",
                        written(&parts[..found.used]),
                        part.value
                    ),
                    crate::error::nearest(&part.value, names),
                )
                .at(place(part.span)));
            }
            several => {
                let names = several.iter().map(|field| shown(&[field.name()])).collect();
                return Err(ambiguous(&part.value, names, part.span));
            }
        }
    }
    Ok(all)
}

/// Walks one expression; queries inside it are bound with their own scopes, and not walked again.
struct Walker<'w, 'k, 's, 'o> {
    binder: &'w mut Binder<'k>,
    scope: &'s Scope<'o>,
    aliases: Option<&'s Scope<'o>>,
    withs: &'s Withs,
    queries: usize,
}

impl VisitorMut for Walker<'_, '_, '_, '_> {
    type Break = PlannerError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PlannerError> {
        if self.queries == 0
            && let Err(error) = self.binder.query(query, Some(self.scope), self.withs)
        {
            return ControlFlow::Break(error);
        }
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<PlannerError> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<PlannerError> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        let bound = match expr {
            Expr::Identifier(ident) => match self.binder.bare(ident, self.scope, self.aliases) {
                Ok(Some(parts)) => {
                    *expr = Expr::CompoundIdentifier(parts);
                    Ok(())
                }
                other => other.map(|_| ()),
            },
            Expr::CompoundIdentifier(parts) => self.binder.compound(parts, self.scope),
            Expr::CompoundFieldAccess { access_chain, .. } => {
                keep_fields(access_chain);
                Ok(())
            }
            Expr::Function(function) => {
                if let Some(WindowType::NamedWindow(name)) = &mut function.over {
                    window_name(name);
                }
                Ok(())
            }
            _ => Ok(()),
        };
        match bound {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// `(x).field`: a field is no column. In quotes it stays as it is.
fn keep_fields(chain: &mut [AccessExpr]) {
    for access in chain {
        if let AccessExpr::Dot(Expr::Identifier(ident)) = access {
            ident.quote_style = Some('"');
        }
    }
}
