//! Quantities in expressions.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use expressions::{Failure, Library, Meter, Opaque, Overload, Type, Value};

use super::text;
use crate::quantity::{Format, Quantity};

const NAME: &str = "kubernetes.Quantity";

#[derive(Debug)]
struct Amount(Quantity);

impl Opaque for Amount {
    fn of(&self) -> Type {
        Type::object(NAME)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Amount>().is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn library() -> Library {
    use Type::{Bool, Double, Int, String};
    let of = || Type::object(NAME);
    let two = || [of(), of()];
    let with_int = || [of(), Int];
    let overloads = vec![
        Overload::global("quantity", "string_to_quantity", &[String], of(), make),
        Overload::global("isQuantity", "is_quantity_string", &[String], Bool, is),
        Overload::global("sign", "quantity_sign", &[of()], Int, sign),
        Overload::member("isGreaterThan", "quantity_is_greater_than", &two(), Bool, greater),
        Overload::member("isLessThan", "quantity_is_less_than", &two(), Bool, less),
        Overload::member("compareTo", "quantity_compare_to", &two(), Int, compare),
        Overload::member("asApproximateFloat", "quantity_get_float", &[of()], Double, float),
        Overload::member("asInteger", "quantity_get_int", &[of()], Int, integer),
        Overload::member("isInteger", "quantity_is_integer", &[of()], Bool, is_integer),
        Overload::member("add", "quantity_add", &two(), of(), add),
        Overload::member("add", "quantity_add_int", &with_int(), of(), add),
        Overload::member("sub", "quantity_sub", &two(), of(), sub),
        Overload::member("sub", "quantity_sub_int", &with_int(), of(), sub),
    ];
    Library { overloads, types: vec![of()] }
}

type Evaluated<'d> = Result<Value<'d>, Failure>;

fn value<'d>(quantity: Quantity) -> Value<'d> {
    Value::Opaque(Arc::new(Amount(quantity)))
}

fn at(args: &[Value<'_>], at: usize) -> Result<Quantity, Failure> {
    let found = match args.get(at) {
        Some(Value::Opaque(value)) => value.as_any().downcast_ref::<Amount>().map(|amount| amount.0),
        Some(Value::Int(value)) => Some(Quantity::from_int(*value, Format::DecimalExponent)),
        _ => None,
    };
    found.ok_or_else(|| Failure::error("no such overload"))
}

fn make<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Quantity::parse(text(args, 0)?).map(value).map_err(Failure::error)
}

fn is<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(Quantity::parse(text(args, 0)?).is_ok()))
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Failure> {
    Ok(at(args, 0)?.cmp(&at(args, 1)?))
}

fn sign<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let quantity = at(args, 0)?;
    Ok(Value::Int(match quantity.is_negative() {
        true => -1,
        false => i64::from(!quantity.is_zero()),
    }))
}

fn greater<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    order(args).map(|order| Value::Bool(order.is_gt()))
}

fn less<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    order(args).map(|order| Value::Bool(order.is_lt()))
}

fn compare<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    order(args).map(|order| Value::Int(order as i64))
}

fn float<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    at(args, 0).map(|quantity| Value::Double(quantity.as_f64()))
}

/// The whole number that it is exactly.
fn whole(quantity: Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::from_int(value, quantity.format()) == quantity).then_some(value)
}

fn integer<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let words = || Failure::error("cannot convert value to integer");
    whole(at(args, 0)?).map(Value::Int).ok_or_else(words)
}

fn is_integer<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(whole(at(args, 0)?).is_some()))
}

fn add<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(value(at(args, 0)?.add(&at(args, 1)?)))
}

fn sub<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(value(at(args, 0)?.sub(&at(args, 1)?)))
}
