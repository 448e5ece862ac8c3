use proptest::prelude::*;

use super::*;

#[test]
fn canonical_forms_are_the_references() {
    let cases = [
        ("0", "0"),
        ("0Mi", "0"),
        ("00", "0"),
        ("-0", "0"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("1000Ki", "1000Ki"),
        ("1024", "1024"),
        ("100000000", "100M"),
        ("1200000", "1200k"),
        ("0.1Mi", "104857600m"),
        ("0.5Ki", "512"),
        ("0.001", "1m"),
        ("1e3", "1e3"),
        ("1000e0", "1e3"),
        ("1E3", "1E3"),
        ("12e-3", "12e-3"),
        ("1.1G", "1100M"),
        ("0.0000000001", "1n"),
        ("0.00000000001Ki", "11n"),
        ("-0.0000000001", "-1n"),
        ("8Ei", "9223372036854775807"),
        ("7Ei", "7Ei"),
        ("1.500", "1.500"),
        ("+5", "+5"),
        ("05", "05"),
        ("1.", "1."),
        ("-1.5Gi", "-1536Mi"),
        ("-1Ki", "-1Ki"),
        ("2048Gi", "2Ti"),
        ("12345678901234567890", "12345678901234567890"),
        ("1000E", "1000E"),
        (" 1 ", "1"),
        ("8Ki", "8Ki"),
        ("64Gi", "64Gi"),
        ("500Mi", "500Mi"),
        ("1u", "1u"),
        ("1000u", "1m"),
        ("0.1", "100m"),
        ("123456789012345678901234567890Ki", "9223372036854775807"),
        ("10", "10"),
        ("100", "100"),
        ("110", "110"),
    ];
    for (text, wanted) in cases {
        assert_eq!(canonical(text).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn errors_are_the_references() {
    for text in ["", "abc", "1x", "1.2.3", "1 Mi", "1Mi3x"] {
        assert_eq!(Quantity::parse(text).unwrap_err(), FORMAT_WRONG, "{text}");
    }
    for text in ["1Kii", "1e", "1mm", "1+5", "1K", "--1"] {
        assert_eq!(Quantity::parse(text).unwrap_err(), SUFFIX, "{text}");
    }
    assert_eq!(Quantity::parse(&"9".repeat(40)).unwrap_err(), NUMERIC);
}

#[test]
fn values_round_away_from_zero() {
    let parse = |text: &str| Quantity::parse(text).unwrap();
    assert_eq!((parse("1500m").value(), parse("-1500m").value(), parse("1n").milli()), (2, -2, 1));
    assert_eq!((parse("250m").milli(), parse("2").milli(), parse("1Gi").value()), (250, 2000, 1 << 30));
    assert_eq!((parse("1000E").value(), parse("-1000E").milli()), (i64::MAX, i64::MIN));
    assert!(parse("1e9999") > parse("1000E") && parse("-1e9999") < parse("1n") && parse("1k") == parse("1000"));
}

#[test]
fn sums_keep_the_first_ones_suffixes() {
    let parse = |text: &str| Quantity::parse(text).unwrap();
    assert_eq!(parse("1Gi").add(&parse("512Mi")).to_string(), "1536Mi");
    assert_eq!(parse("0").add(&parse("1Mi")).to_string(), "1Mi");
    assert_eq!(parse("1").sub(&parse("1500m")).to_string(), "-500m");
    assert_eq!(parse("1Gi").sub(&parse("1Gi")).to_string(), "0");
    let far = parse("1e9999").add(&parse("1n"));
    assert!(far > parse("1e9999"), "rounded up");
}

proptest! {
    #[test]
    fn short_and_long_arithmetic_agree(
        whole in "[1-9][0-9]{0,8}|", fraction in "[0-9]{0,9}",
        suffix in "n|u|m||k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]|e-[0-9]|e-1[0-9]",
    ) {
        let parts = Parts { negative: false, whole: &whole, fraction: &fraction, suffix: &suffix };
        let suffix = Suffix::of(&suffix).unwrap();
        let value = |(mantissa, exponent)| Quantity { mantissa, exponent, format: suffix.format }.normalised();
        let (short, long) = (value(parse_short(&parts, suffix)), value(parse_long(&parts, suffix).unwrap()));
        prop_assert_eq!((short.mantissa, short.exponent), (long.mantissa, long.exponent));
    }

    #[test]
    fn canonical_text_is_stable_and_means_the_same(
        text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,12})?(n|u|m||k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]{1,2}|e-[0-9])",
    ) {
        prop_assume!(!text.is_empty());
        let Ok(once) = canonical(&text) else { return Ok(()) };
        prop_assert_eq!(&canonical(&once).unwrap(), &once);
        prop_assert_eq!(Quantity::parse(&once).unwrap(), Quantity::parse(&text).unwrap());
    }

    #[test]
    fn order_and_sums_agree_with_whole_nanos(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000i64..1_000_000) {
        let (x, y) = (Quantity::parse(&format!("{a}n")).unwrap(), Quantity::parse(&format!("{b}u")).unwrap());
        let y_nanos = b * 1000;
        prop_assert_eq!(x.cmp(&y), a.cmp(&y_nanos));
        prop_assert_eq!(x.add(&y), Quantity::parse(&format!("{}n", a + y_nanos)).unwrap());
    }
}
