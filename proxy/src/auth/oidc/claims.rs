//! What a token claims: for whom it is, until when, and who its bearer is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use landfast_planner::{Groups, Role};
use serde_json::{Map, Value};

use super::{OidcSpec, TokenRefusal};
use crate::auth::Principal;

/// The longest name of a user or a group.
const NAME_BYTES_MAX: usize = 256;
/// A token with more groups than this is refused, rather than read in part.
const GROUPS_MAX: usize = 1_000;

type Claims = Map<String, Value>;

/// The issuer that the claims name.
pub(super) fn issuer(claims: &Claims) -> Option<&str> {
    claims.get("iss")?.as_str()
}

/// Checks the claims of a token whose signature was right, and says who its bearer is.
pub(super) fn principal(
    spec: &OidcSpec,
    claims: &Claims,
    now: SystemTime,
) -> Result<Principal, TokenRefusal> {
    if issuer(claims) != Some(&spec.issuer) {
        return Err(TokenRefusal::Claim("iss".to_owned()));
    }
    times(claims, now, spec.clock_skew)?;
    audience(claims, &spec.audiences)?;
    let unusable = || TokenRefusal::Claim(spec.user_claim.clone());
    let name = found(claims, &spec.user_claim)
        .and_then(Value::as_str)
        .filter(|name| is_name(name))
        .ok_or_else(unusable)?;
    // Whoever may write any address into their profile is not that address: an issuer that does not say whether it looked
    // is taken for one that didn't. Some write the word for the value.
    let verified = claims
        .get("email_verified")
        .is_some_and(|value| value == true || value == "true");
    if spec.user_claim == "email" && !verified {
        return Err(TokenRefusal::Claim("email_verified".to_owned()));
    }
    let groups = match &spec.groups_claim {
        None => Vec::new(),
        Some(claim) => groups(claims, claim)?,
    };
    let among = |names: &[String]| names.iter().any(|name| groups.contains(&name.as_str()));
    let role = if among(&spec.operator_groups) {
        Role::Operator
    } else if among(&spec.engineer_groups) {
        spec.role.max(Role::Engineer)
    } else {
        spec.role
    };
    Ok(Principal {
        name: format!("{}{name}", spec.user_prefix).into(),
        role,
        groups: Groups::new(
            groups
                .iter()
                .map(|group| format!("{}{group}", spec.groups_prefix)),
        ),
    })
}

fn times(claims: &Claims, now: SystemTime, skew: Duration) -> Result<(), TokenRefusal> {
    let now = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let skew = skew.as_secs_f64();
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| TokenRefusal::Claim(name.to_owned())),
    };
    let until = seconds("exp")?.ok_or_else(|| TokenRefusal::Claim("exp".to_owned()))?;
    if until + skew <= now {
        return Err(TokenRefusal::Expired);
    }
    for name in ["nbf", "iat"] {
        if seconds(name)?.is_some_and(|from| from - skew > now) {
            return Err(TokenRefusal::Early);
        }
    }
    Ok(())
}

fn audience(claims: &Claims, wanted: &[String]) -> Result<(), TokenRefusal> {
    let fits = |value: &Value| {
        value
            .as_str()
            .is_some_and(|audience| wanted.iter().any(|name| name == audience))
    };
    let found = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(fits),
        Some(one) => fits(one),
        None => false,
    };
    if found {
        Ok(())
    } else {
        Err(TokenRefusal::Audience)
    }
}

/// The groups of a claim that lists them, or names one; a token without the claim has none.
fn groups<'a>(claims: &'a Claims, claim: &str) -> Result<Vec<&'a str>, TokenRefusal> {
    let unusable = || TokenRefusal::Claim(claim.to_owned());
    let names: Vec<&str> = match found(claims, claim) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().ok_or_else(unusable))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(unusable()),
    };
    if names.len() > GROUPS_MAX || !names.iter().all(|name| is_name(name)) {
        return Err(unusable());
    }
    Ok(names)
}

/// The claim of this very name, or, for a name with dots, the one that its parts lead to (`realm_access.roles`).
fn found<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let mut value = claims.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    Some(value)
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control)
}
