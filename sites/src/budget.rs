//! What one query's reads may cost: refused before a request that would go past it, so that it is never passed by more
//! than what nobody knew the size of.

use std::sync::Arc;

use parking_lot::Mutex;

const BYTES_PER_GIB: f64 = (1u64 << 30) as f64;

/// What a query may spend, and has spent.
#[derive(Debug)]
pub(crate) struct Budget {
    usd_max: f64,
    account: Mutex<Account>,
}

/// In US dollars. What is asked for and has not come yet is set aside, so that requests under way at once don't spend
/// the same money.
#[derive(Debug, Default)]
struct Account {
    spent: f64,
    set_aside: f64,
}

/// A request that would cost too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OverBudget {
    /// What the request would cost; nought where nobody knows its size.
    pub(crate) usd: f64,
    pub(crate) spent_usd: f64,
    pub(crate) usd_max: f64,
}

impl Budget {
    pub(crate) fn new(usd_max: f64) -> Self {
        Self {
            usd_max,
            account: Mutex::default(),
        }
    }

    /// Sets money aside for so many bytes at this price; none where nobody knows how many come.
    pub(crate) fn charge(
        self: &Arc<Self>,
        usd_per_gib: f64,
        bytes: Option<u64>,
    ) -> Result<Charge, OverBudget> {
        let usd = bytes.map(|bytes| usd_per_gib * bytes as f64 / BYTES_PER_GIB);
        let mut account = self.account.lock();
        let spent = account.spent + account.set_aside;
        let over = match usd {
            // What costs nothing is never refused.
            _ if usd_per_gib <= 0.0 => false,
            Some(usd) => spent + usd > self.usd_max,
            None => spent >= self.usd_max,
        };
        let usd = usd.unwrap_or(0.0);
        if over {
            return Err(OverBudget {
                usd,
                spent_usd: spent,
                usd_max: self.usd_max,
            });
        }
        account.set_aside += usd;
        Ok(Charge {
            budget: Arc::clone(self),
            usd_per_gib,
            left: Mutex::new(usd),
        })
    }
}

/// The money of one batch at one site; what was set aside and not spent goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    usd_per_gib: f64,
    left: Mutex<f64>,
}

impl Charge {
    /// So many bytes came.
    pub(crate) fn received(&self, bytes: u64) {
        let usd = self.usd_per_gib * bytes as f64 / BYTES_PER_GIB;
        let mut left = self.left.lock();
        let covered = usd.min(*left);
        *left -= covered;
        let mut account = self.budget.account.lock();
        account.set_aside -= covered;
        account.spent += usd;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.account.lock().set_aside -= *self.left.get_mut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: Option<u64> = Some(1 << 30);

    #[test]
    fn what_is_under_way_counts_and_what_did_not_come_is_given_back() {
        let budget = Arc::new(Budget::new(0.25));
        let first = budget.charge(0.1, GIB).unwrap();
        let second = budget.charge(0.1, GIB).unwrap();
        let refused = budget.charge(0.1, GIB).unwrap_err();
        assert_eq!((refused.usd, refused.usd_max), (0.1, 0.25));
        first.received(1 << 30);
        drop(first);
        assert!(
            budget.charge(0.1, GIB).is_err(),
            "what was read stays paid for"
        );
        second.received(1 << 28);
        drop(second);
        assert!(
            budget.charge(0.1, GIB).is_ok(),
            "three quarters of the second never came"
        );
    }

    #[test]
    fn what_costs_nothing_is_read_whatever_was_spent() {
        let budget = Arc::new(Budget::new(0.0));
        assert!(budget.charge(0.0, GIB).is_ok());
        assert!(budget.charge(0.0, None).is_ok());
        assert!(budget.charge(0.01, Some(1)).is_err());
        assert!(
            budget.charge(0.01, None).is_err(),
            "nobody knows the size, and there is nothing left"
        );
    }

    #[test]
    fn more_than_was_asked_for_is_paid_for_too() {
        let budget = Arc::new(Budget::new(1.0));
        let charge = budget.charge(1.0, Some(1 << 29)).unwrap();
        charge.received(1 << 30);
        drop(charge);
        let refused = budget.charge(1.0, Some(1)).unwrap_err();
        assert!((refused.spent_usd - 1.0).abs() < 1e-9);
    }
}
