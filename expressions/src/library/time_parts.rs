//! Parts of timestamps and durations.

use super::{Evaluated, text};
use crate::environment::{Library, Overload, Run};
use crate::evaluate::{Failure, Meter};
use crate::time::part;
use crate::types::Type;
use crate::value::Value;

macro_rules! of_timestamp {
    ($name:literal) => {{
        fn run<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
            let Value::Timestamp(at) = &args[0] else { return Err(Failure::no_such_overload()) };
            let zone = if args.len() > 1 { Some(text(args, 1)?) } else { None };
            part($name, *at, zone).map(Value::Int).map_err(Failure::error)
        }
        run
    }};
}

macro_rules! of_duration {
    ($nanoseconds:literal) => {{
        fn run<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
            let Value::Duration(length) = &args[0] else { return Err(Failure::no_such_overload()) };
            Ok(Value::Int(length / $nanoseconds))
        }
        run
    }};
}

pub(super) fn library() -> Library {
    let timestamps: [(&'static str, [&'static str; 2], Run); 10] = [
        ("getFullYear", ["timestamp_to_year", "timestamp_to_year_with_tz"], of_timestamp!("getFullYear")),
        ("getMonth", ["timestamp_to_month", "timestamp_to_month_with_tz"], of_timestamp!("getMonth")),
        (
            "getDayOfYear",
            ["timestamp_to_day_of_year", "timestamp_to_day_of_year_with_tz"],
            of_timestamp!("getDayOfYear"),
        ),
        (
            "getDayOfMonth",
            ["timestamp_to_day_of_month", "timestamp_to_day_of_month_with_tz"],
            of_timestamp!("getDayOfMonth"),
        ),
        (
            "getDate",
            ["timestamp_to_day_of_month_1_based", "timestamp_to_day_of_month_1_based_with_tz"],
            of_timestamp!("getDate"),
        ),
        (
            "getDayOfWeek",
            ["timestamp_to_day_of_week", "timestamp_to_day_of_week_with_tz"],
            of_timestamp!("getDayOfWeek"),
        ),
        ("getHours", ["timestamp_to_hours", "timestamp_to_hours_with_tz"], of_timestamp!("getHours")),
        ("getMinutes", ["timestamp_to_minutes", "timestamp_to_minutes_with_tz"], of_timestamp!("getMinutes")),
        ("getSeconds", ["timestamp_to_seconds", "timestamp_to_seconds_tz"], of_timestamp!("getSeconds")),
        (
            "getMilliseconds",
            ["timestamp_to_milliseconds", "timestamp_to_milliseconds_with_tz"],
            of_timestamp!("getMilliseconds"),
        ),
    ];
    let mut overloads = Vec::new();
    for (function, [plain, zoned], run) in timestamps {
        overloads.push(Overload::member(function, plain, &[Type::Timestamp], Type::Int, run));
        overloads.push(Overload::member(function, zoned, &[Type::Timestamp, Type::String], Type::Int, run));
    }
    let durations: [(&'static str, &'static str, Run); 4] = [
        ("getHours", "duration_to_hours", of_duration!(3_600_000_000_000)),
        ("getMinutes", "duration_to_minutes", of_duration!(60_000_000_000)),
        ("getSeconds", "duration_to_seconds", of_duration!(1_000_000_000)),
        ("getMilliseconds", "duration_to_milliseconds", of_duration!(1_000_000)),
    ];
    for (function, id, run) in durations {
        overloads.push(Overload::member(function, id, &[Type::Duration], Type::Int, run));
    }
    Library { overloads, types: Vec::new() }
}
