//! Items of a select list: what they mean, and what they put out.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, SelectItem, SelectItemQualifiedWildcardKind, Spanned,
};

use super::scope::{Column, Columns, Scope, Withs};
use super::{Binder, Exact, ambiguous};
use crate::sql::refuse::place;
use crate::sql::same_names;
use crate::{PlannerError, Result};

impl Binder<'_> {
    pub(super) fn select_item(
        &mut self,
        item: &mut SelectItem,
        scope: &Scope<'_>,
        withs: &Withs,
    ) -> Result<Columns> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                self.exprs([&mut *expr], scope, None, withs)?;
                Ok(Columns::Known(scope.output_of(expr).into_iter().collect()))
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                self.exprs([&mut *expr], scope, None, withs)?;
                let data_type = scope.output_of(expr).and_then(|column| column.data_type);
                Ok(Columns::Known(vec![Column {
                    data_type,
                    ..Column::named(&alias.value)
                }]))
            }
            SelectItem::Wildcard(options) => {
                let columns = scope.all_columns();
                self.wildcard_options(options, columns, scope, withs)
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let columns = self.qualifier(name, scope)?;
                self.wildcard_options(options, columns, scope, withs)
            }
            _ => Ok(Columns::Open),
        }
    }

    /// The engine takes every column that it sees for one that `*` stands for. Where it sees metadata columns, `*` becomes
    /// what it stands for.
    pub(super) fn spell_out_wildcards(
        &mut self,
        items: &mut Vec<SelectItem>,
        scope: &Scope<'_>,
        withs: &Withs,
    ) -> Result<()> {
        if !scope
            .relations
            .iter()
            .any(|relation| self.is_extended(relation))
        {
            return Ok(());
        }
        for mut item in std::mem::take(items) {
            let kept = self.select_item_columns(&mut item, scope, withs)?;
            match kept {
                Some(columns) => items.extend(columns),
                None => items.push(item),
            }
        }
        Ok(())
    }

    /// The columns that a `*` or `t.*` stands for, each as an item of its own; nothing for other items.
    fn select_item_columns(
        &mut self,
        item: &mut SelectItem,
        scope: &Scope<'_>,
        withs: &Withs,
    ) -> Result<Option<Vec<SelectItem>>> {
        let at = item.span();
        let unsupported = |what: &str| {
            PlannerError::unsupported(format!(
                "{what} beside metadata columns is not supported: write the columns"
            ))
            .at(place(at))
        };
        let (relations, left, options) = match item {
            SelectItem::Wildcard(options) => {
                let left = self.wildcard_options(options, scope.all_columns(), scope, withs)?;
                (scope.relations.iter().collect(), left, options)
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let idents: Option<Vec<Ident>> =
                    name.0.iter().map(|part| part.as_ident().cloned()).collect();
                let relations = scope.relations_fitting(&idents.unwrap_or_default());
                let columns = self.qualifier(name, scope)?;
                let left = self.wildcard_options(options, columns, scope, withs)?;
                (relations, left, options)
            }
            _ => return Ok(None),
        };
        if options.opt_replace.is_some() {
            return Err(unsupported("* REPLACE"));
        }
        let mut items = Vec::new();
        for relation in relations {
            if relation.columns == Columns::Open {
                return Err(unsupported(
                    "* of a relation whose columns are not known yet",
                ));
            }
            for column in relation.columns.known().iter().filter(|c| c.is_visible()) {
                let merged = scope.merged_in(&column.name);
                let stands = merged.is_none_or(|merged| merged == relation.spelled);
                let kept = left.known().iter().any(|kept| kept.name == column.name);
                if stands && kept {
                    let mut parts: Vec<Ident> =
                        relation.spelled.iter().map(Ident::from_exact).collect();
                    parts.push(Ident::from_exact(&column.name));
                    items.push(SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)));
                }
            }
        }
        Ok(Some(items))
    }

    /// The same expression may stand in a select list twice, and the engine wants its columns' names to differ: all but
    /// the first get a number, which the result doesn't show.
    pub(super) fn told_apart(
        &self,
        item: &mut SelectItem,
        found: Columns,
        written: &mut HashMap<String, usize>,
    ) -> Columns {
        let SelectItem::UnnamedExpr(expr) = item else {
            return found;
        };
        let text = expr.to_string();
        let count = written.entry(text.clone()).or_default();
        *count += 1;
        if *count == 1 || self.known.is_none() {
            return found;
        }
        let name = same_names::column_name(expr).unwrap_or(&text);
        let alias = same_names::marked(name, *count);
        let data_type = found
            .known()
            .first()
            .and_then(|column| column.data_type.clone());
        let column = Column {
            data_type,
            ..Column::named(&alias.value)
        };
        *item = SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias,
        };
        Columns::Known(vec![column])
    }

    /// Rewrites the relation's name in `t.*`, and gives its columns.
    fn qualifier(&mut self, name: &mut ObjectName, scope: &Scope<'_>) -> Result<Columns> {
        let idents: Option<Vec<Ident>> =
            name.0.iter().map(|part| part.as_ident().cloned()).collect();
        let Some(idents) = idents.filter(|_| self.known.is_some()) else {
            return Ok(Columns::Open);
        };
        let fitting = scope.relations_fitting(&idents);
        match fitting.as_slice() {
            [relation] => {
                *name = ObjectName::from(
                    relation
                        .spelled
                        .iter()
                        .map(Ident::from_exact)
                        .collect::<Vec<_>>(),
                );
                Ok(relation.columns.clone().visible())
            }
            [] => {
                self.note(&idents[idents.len() - 1]);
                Ok(Columns::Open)
            }
            several => Err(ambiguous(
                &name.to_string(),
                several.iter().map(|r| r.shown()).collect(),
                name.span(),
            )),
        }
    }
}
