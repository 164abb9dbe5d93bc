//! DataFusion's physical rules, and ours in their places.

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use super::limits::LimitsHold;
use super::sorted::SortedScans;

/// Adds sorts where they are needed: what makes some of them needless comes before.
const ORDERING_RULE: &str = "EnsureRequirements";

/// Moves limits down. What passes filters and orders on to what is below comes after.
const LIMIT_RULE: &str = "LimitPushdown";

/// DataFusion's rules and ours.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let at = |rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>], name| {
        rules.iter().position(|rule| rule.name() == name)
    };
    let sorts = at(&rules, ORDERING_RULE).unwrap_or_default();
    rules.insert(sorts, Arc::new(SortedScans));
    let limits = at(&rules, LIMIT_RULE).map_or(rules.len(), |at| at + 1);
    rules.insert(limits, Arc::new(LimitsHold));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_our_rules_is_where_it_belongs() {
        let rules = physical_rules();
        let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        let at = |name: &str| names.iter().position(|known| *known == name).unwrap();
        assert_eq!(at("SortedScans") + 1, at(ORDERING_RULE));
        assert_eq!(at("LimitsHold"), at(LIMIT_RULE) + 1);
        assert!(at("LimitsHold") < at("PushdownSort"), "{names:?}");
        let filters = names
            .iter()
            .rposition(|name| name.starts_with("FilterPushdown"));
        assert!(Some(at("LimitsHold")) < filters, "{names:?}");
    }
}
