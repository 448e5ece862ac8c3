//! Frames as others write them, and sessions against each other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// One connection's frames, as the implementation that kubelets are built with writes them.
fn golden() -> Vec<(&'static str, Frame)> {
    let stream_type = |kind| headers(&[("streamtype", kind)]);
    vec![
        (
            "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
            Frame::SynStream { stream: 1, headers: stream_type("error"), fin: false },
        ),
        (
            "800300010100001700000003000000000000c22e555c92929907000000ffff",
            Frame::SynStream { stream: 3, headers: stream_type("stdin"), fin: true },
        ),
        (
            "800300020000000e000000016260606000000000ffff",
            Frame::SynReply { stream: 1, headers: Headers::new(), fin: false },
        ),
        (
            "800300010000001c00000005000000000000824ab314e41781338985818501000000ffff",
            Frame::SynStream { stream: 5, headers: headers(&[("port", "8080")]), fin: false },
        ),
        ("000000030000000568656c6c6f", Frame::Data { stream: 3, data: Bytes::from_static(b"hello"), fin: false }),
        ("0000000301000000", Frame::Data { stream: 3, data: Bytes::new(), fin: true }),
        ("80030003000000080000000300000005", Frame::RstStream { stream: 3, status: CANCEL }),
        ("800300060000000400000007", Frame::Ping { id: 7 }),
        ("80030007000000080000000500000000", Frame::GoAway { last: 5, status: 0 }),
        ("800300040000000c000000010000000700010000", Frame::Ignored),
        ("80030009000000080000000300001000", Frame::Ignored),
        (
            "800300080000001100000001828a3182b2096312000000ffff",
            Frame::Headers { stream: 1, headers: headers(&[("a", "b")]), fin: false },
        ),
    ]
}

#[test]
fn golden_frames_are_read() {
    for size in [1, 3, 1000] {
        let mut decoder = Decoder::default();
        for (hex, expected) in golden() {
            let mut pieces = Vec::new();
            for part in bytes(hex).chunks(size) {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    pieces.push(frame);
                }
            }
            match expected {
                Frame::Data { stream, data, fin } => {
                    let mut joined = Vec::new();
                    for piece in &pieces {
                        let Frame::Data { stream: of, data, .. } = piece else { panic!("{piece:?}") };
                        assert_eq!(*of, stream);
                        joined.extend_from_slice(data);
                    }
                    assert_eq!(joined, data);
                    assert!(matches!(pieces.last(), Some(Frame::Data { fin: last, .. }) if *last == fin));
                }
                expected => assert_eq!(pieces, [expected], "{hex}"),
            }
        }
    }
}

#[test]
fn frames_without_headers_are_written_the_same() {
    for (hex, frame) in golden() {
        let plain =
            !matches!(frame, Frame::SynStream { .. } | Frame::SynReply { .. } | Frame::Headers { .. } | Frame::Ignored);
        let mut out = BytesMut::new();
        Encoder::default().encode(&frame, &mut out);
        if plain {
            assert_eq!(out, bytes(hex), "{frame:?}");
        }
    }
}

#[test]
fn headers_are_stored_and_flushed() {
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    let reply = Frame::SynReply { stream: 1, headers: Headers::new(), fin: false };
    encoder.encode(&reply, &mut out);
    // Stream, zlib's head, four bytes that say that there are no headers, and the empty block of a flush.
    assert_eq!(out, bytes("8003000200000014000000017801000400fbff00000000000000ffff"));
}

#[test]
fn what_breaks_the_protocol_is_named() {
    for (hex, error) in [
        ("80020001000000000000", SpdyError::Version),
        ("800300050000000000000000", SpdyError::Kind),
        ("0000000000000001ff", SpdyError::StreamId),
        ("800300030000000400000001", SpdyError::Length),
        ("8003000100ffffff0000", SpdyError::TooLarge),
        ("800300010000000c00000001000000000000ffff", SpdyError::Compression),
    ] {
        let mut decoder = Decoder::default();
        decoder.push(&bytes(hex));
        assert_eq!(decoder.next_frame(), Err(error), "{hex}");
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let stream = 1..1000u32;
    let headers = proptest::collection::vec(("[a-z-]{1,12}", "[ -~]{0,30}"), 0..4);
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (stream.clone(), data, any::<bool>()).prop_map(|(stream, data, fin)| Frame::Data {
            stream,
            data: data.into(),
            fin
        }),
        (stream.clone(), headers.clone(), any::<bool>()).prop_map(|(stream, headers, fin)| Frame::SynStream {
            stream,
            headers,
            fin
        }),
        (stream.clone(), headers, any::<bool>()).prop_map(|(stream, headers, fin)| Frame::SynReply {
            stream,
            headers,
            fin
        }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, status)| Frame::RstStream { stream, status }),
        any::<u32>().prop_map(|id| Frame::Ping { id }),
        (stream, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_frames_or_an_error(input in proptest::collection::vec(any::<u8>(), 0..2000), size in 1..300usize) {
        let mut decoder = Decoder::default();
        let mut given = 0;
        'all: for part in input.chunks(size) {
            decoder.push(part);
            loop {
                match decoder.next_frame() {
                    Ok(Some(Frame::Data { data, .. })) => given += data.len(),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
            prop_assert!(decoder.input.len() <= input.len());
        }
        prop_assert!(given <= input.len());
    }

    #[test]
    fn flipped_bits_do_no_harm(frames in proptest::collection::vec(any_frame(), 1..8), at in any::<usize>(), bit in 0..8u8) {
        let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
        frames.iter().for_each(|frame| encoder.encode(frame, &mut out));
        let at = at % out.len();
        out[at] ^= 1 << bit;
        let mut decoder = Decoder::default();
        decoder.push(&out);
        while let Ok(Some(_)) = decoder.next_frame() {}
    }

    #[test]
    fn frames_come_back(frames in proptest::collection::vec(any_frame(), 1..8)) {
        let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
        frames.iter().for_each(|frame| encoder.encode(frame, &mut out));
        let mut decoder = Decoder::default();
        decoder.push(&out);
        for frame in frames {
            prop_assert_eq!(decoder.next_frame(), Ok(Some(frame)));
        }
        prop_assert_eq!(decoder.next_frame(), Ok(None));
    }
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_end_by_themselves() {
    let (near, far) = duplex(1000);
    let client = Session::client(near, None);
    let (_server, mut accept) = Session::server(far);
    let mut first = client.open(headers(&[("streamtype", "stdin")])).await.unwrap();
    let second = client.open(headers(&[("streamtype", "stdout")])).await.unwrap();
    let (mut of_first, of_second) = (accept.recv().await.unwrap(), accept.recv().await.unwrap());
    assert_eq!((of_first.header("streamtype"), of_second.header("streamtype")), ("stdin", "stdout"));
    assert_eq!((of_first.id(), of_second.id()), (1, 3));

    let much: Vec<u8> = (0..200_000u32).map(|at| (at / 3) as u8).collect();
    let sent = much.clone();
    let writing = tokio::spawn(async move {
        first.write_all(&sent).await.unwrap();
        first.shutdown().await.unwrap();
        let mut answer = String::new();
        first.read_to_string(&mut answer).await.unwrap();
        answer
    });
    let mut got = Vec::new();
    of_first.read_to_end(&mut got).await.unwrap();
    assert!(got == much);
    of_first.write_all(b"all of it").await.unwrap();
    of_first.shutdown().await.unwrap();
    assert_eq!(writing.await.unwrap(), "all of it");

    drop(of_second);
    let (mut incoming, _outgoing) = second.split();
    assert_eq!(incoming.next().await, None, "it was reset");
}

#[tokio::test]
async fn what_was_said_last_arrives() {
    let (near, far) = duplex(64);
    let client = Session::client(near, None);
    let (server, mut accept) = Session::server(far);
    let (mut incoming, _outgoing) = client.open(headers(&[("streamtype", "error")])).await.unwrap().split();
    let (_, mut outgoing) = accept.recv().await.unwrap().split();
    outgoing.send(Bytes::from(vec![b'x'; 10_000])).await.unwrap();
    outgoing.finish().await.unwrap();
    // The server lets go at once, and the session ends behind what it has said.
    drop((outgoing, accept, server));
    let mut length = 0;
    while let Some(data) = incoming.next().await {
        length += data.len();
    }
    assert_eq!(length, 10_000);
    tokio::time::timeout(Duration::from_secs(5), client.over().cancelled()).await.expect("the client hears of the end");
}

#[tokio::test]
async fn a_flood_that_nobody_reads_is_held_up() {
    let (near, far) = duplex(64 << 10);
    let client = Session::client(near, None);
    let (_server, mut accept) = Session::server(far);
    let mut stream = client.open(headers(&[])).await.unwrap();
    let _unread = accept.recv().await.unwrap();
    let mut taken = 0;
    let flood = async {
        loop {
            taken += stream.write(&[7; 16 << 10]).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), flood).await.is_err());
    assert!(taken > 1 << 20, "a session holds a megabyte: {taken}");
    assert!(taken < 2 << 20, "and not much more, with what is on its way: {taken}");
}

#[tokio::test]
async fn numbers_and_directions_are_checked() {
    let (mut near, far) = duplex(1000);
    let (_server, mut accept) = Session::server(far);
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    for stream in [3, 1, 4, 5] {
        encoder.encode(&Frame::SynStream { stream, headers: headers(&[]), fin: false }, &mut out);
    }
    encoder.encode(&Frame::Ping { id: 9 }, &mut out);
    near.write_all(&out).await.unwrap();
    let mut decoder = Decoder::default();
    let mut answers = Vec::new();
    while answers.len() < 5 {
        let mut buffer = [0; 100];
        let length = near.read(&mut buffer).await.unwrap();
        decoder.push(&buffer[..length]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            answers.push(frame);
        }
    }
    let reply = |stream| Frame::SynReply { stream, headers: headers(&[]), fin: false };
    let reset = |stream| Frame::RstStream { stream, status: PROTOCOL_ERROR };
    assert_eq!(answers, [reply(3), reset(1), reset(4), reply(5), Frame::Ping { id: 9 }]);
    let (first, second) = (accept.recv().await.unwrap(), accept.recv().await.unwrap());
    assert_eq!((first.id(), second.id()), (3, 5));
}

#[tokio::test(start_paused = true)]
async fn a_client_asks_whether_its_server_is_there() {
    let (near, mut far) = duplex(1000);
    let client = Session::client(near, Some(Duration::from_secs(5)));
    let mut decoder = Decoder::default();
    let mut buffer = [0; 100];
    let length = far.read(&mut buffer).await.unwrap();
    decoder.push(&buffer[..length]);
    assert_eq!(decoder.next_frame(), Ok(Some(Frame::Ping { id: 3 })));
    drop(far);
    client.over().cancelled().await;
    assert!(client.open(headers(&[])).await.is_err());
}
