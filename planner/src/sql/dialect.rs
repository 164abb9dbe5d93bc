//! The parser's dialect: sqlparser's generic one, with an end to what the parser may try.
//!
//! Where a word such as `NOT` or `CASE` can begin an expression or name a column, the parser tries the first and then,
//! if that fails, the second. An error inside a nest of them is so met twice at each level: at thirty levels, a text of
//! a hundred letters would be parsed for hours.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// Expressions that may be begun for each token of a text: a valid one takes about one.
const TRIES_PER_TOKEN: usize = 16;
/// And so many besides, whatever the text's length.
const TRIES: usize = 20_000;

/// The generic dialect for one text. Once its tries are spent, no expression begins any more, so that the parser ends
/// with [`ParserError::RecursionLimitExceeded`] or with the error that it met first.
#[derive(Debug)]
pub(crate) struct BoundedDialect {
    tries: Cell<usize>,
}

impl BoundedDialect {
    /// A dialect to parse a text of so many tokens once.
    pub(crate) fn of_tokens(tokens: usize) -> Self {
        Self {
            tries: Cell::new(tokens.saturating_mul(TRIES_PER_TOKEN).saturating_add(TRIES)),
        }
    }

    /// Whether the parser was kept from trying more.
    pub(crate) fn is_spent(&self) -> bool {
        self.tries.get() == 0
    }
}

/// What the generic dialect says of itself.
macro_rules! as_generic {
    ($($method:ident,)*) => {
        $(fn $method(&self) -> bool {
            GenericDialect.$method()
        })*
    };
}

impl Dialect for BoundedDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn parse_prefix(&self, _: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        match self.tries.get().checked_sub(1) {
            Some(0) | None => {
                self.tries.set(0);
                Some(Err(ParserError::RecursionLimitExceeded))
            }
            Some(left) => {
                self.tries.set(left);
                None
            }
        }
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    as_generic! {
        supports_unicode_string_literal,
        supports_partition_by_after_order_by,
        supports_array_join_syntax,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_connect_by,
        supports_match_recognize,
        supports_pipe_operator,
        supports_start_transaction_modifier,
        supports_window_function_null_treatment_arg,
        supports_dictionary_syntax,
        supports_window_clause_named_window_reference,
        supports_parenthesized_set_variables,
        supports_select_wildcard_except,
        support_map_literal_syntax,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_extract_comma_syntax,
        supports_create_view_comment_syntax,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_limit_comma,
        supports_update_order_by,
        supports_from_first_select,
        supports_projection_trailing_commas,
        supports_asc_desc_in_column_definition,
        supports_try_convert,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_assignment_operator,
        supports_struct_literal,
        supports_empty_projections,
        supports_nested_comments,
        supports_multiline_comment_hints,
        supports_user_host_grantee,
        supports_string_escape_constant,
        supports_array_typedef_with_brackets,
        supports_match_against,
        supports_set_names,
        supports_comma_separated_set_assignments,
        supports_filter_during_aggregation,
        supports_select_wildcard_exclude,
        supports_data_type_signed_suffix,
        supports_interval_options,
        supports_quote_delimited_string,
        supports_select_wildcard_replace,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_optimize_table,
        supports_install,
        supports_detach,
        supports_prewhere,
        supports_with_fill,
        supports_limit_by,
        supports_interpolate,
        supports_settings,
        supports_select_format,
        supports_comment_optimizer_hint,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_select_item_multi_column_alias,
        supports_xml_expressions,
    }
}
