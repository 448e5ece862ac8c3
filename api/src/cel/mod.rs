//! What expressions in CEL may use: the crate `expressions`, and the functions whose rules are here: `quantity` and `format`.
//!
//! Every expression that Kubernetes has starts from [`environment`]: rules of custom resources as they are, others with
//! `expressions::authorization` and variables of their own ([`admission`]).

pub mod admission;
mod declare;
mod format;
mod quantity;

use std::sync::LazyLock;

pub use declare::declare;
use expressions::{Environment, Failure, Value};

/// All functions of Kubernetes v1.36, without variables. Cheap to copy.
pub fn environment() -> Environment {
    static ENVIRONMENT: LazyLock<Environment> =
        LazyLock::new(|| Environment::kubernetes().with([quantity::library(), format::library()]));
    ENVIRONMENT.clone()
}

fn text<'a>(args: &'a [Value<'_>], at: usize) -> Result<&'a str, Failure> {
    args.get(at).and_then(Value::as_text).ok_or_else(|| Failure::error("no such overload"))
}

#[cfg(test)]
mod tests {
    use expressions::{Bindings, Limit};

    use super::*;

    fn holds(expression: &str) -> bool {
        let program = environment().compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let result = program.evaluate(&Bindings::new(), Limit::per_call()).result;
        matches!(result, Ok(Value::Bool(true)))
    }

    #[test]
    fn quantities() {
        assert!(holds("quantity('1Gi').isGreaterThan(quantity('1G')) && isQuantity('1.3Gi') && !isQuantity('1,3')"));
        assert!(holds(
            "quantity('50k').add(20) == quantity('50020') && quantity('50k').sub(quantity('20k')).asInteger() == 30000"
        ));
        assert!(holds("quantity('200M').compareTo(quantity('0.2G')) == 0 && sign(quantity('-1')) == -1"));
        assert!(holds(
            "!quantity('1.5').isInteger() && quantity('1.5').asApproximateFloat() == 1.5 && quantity('2k').isInteger()"
        ));
        assert!(!holds("quantity('1.5').asInteger() == 1"));
    }

    #[test]
    fn formats() {
        assert!(holds("!format.dns1123Label().validate('my-label').hasValue()"));
        assert!(holds("format.dns1123Label().validate('My').value()[0].contains('lower case')"));
        assert!(holds("format.named('uuid').value().validate('x').value() == ['does not match the UUID format']"));
        assert!(holds("!format.named('nothing').hasValue() && !format.dns1035LabelPrefix().validate('a-').hasValue()"));
        assert!(holds("!format.uri().validate('https://a/b').hasValue() && format.date().validate('x').hasValue()"));
    }
}
