//! Items of a select list: what they mean, and what they put out.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, SelectItem, SelectItemQualifiedWildcardKind, Spanned,
};

use super::scope::{Column, Columns, Scope, Withs};
use super::{Binder, Exact, ambiguous};
use crate::Result;

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
                    name: alias.value.clone(),
                    data_type,
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

    /// The same expression may stand in a select list twice, and the engine wants its columns' names to differ: all but
    /// the first get a number.
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
        let name = match expr {
            Expr::Identifier(ident) => ident.value.clone(),
            Expr::CompoundIdentifier(parts) => parts.last().map_or(text, |part| part.value.clone()),
            _ => text,
        };
        let alias = Ident::from_exact(format!("{name}_{count}"));
        let data_type = found
            .known()
            .first()
            .and_then(|column| column.data_type.clone());
        let column = Column {
            name: alias.value.clone(),
            data_type,
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
                Ok(relation.columns.clone())
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
