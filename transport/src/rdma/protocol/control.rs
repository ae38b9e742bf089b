//! Control messages: 32 bytes, big-endian, each the whole of one SEND.

use std::fmt;

/// Bytes of every control message.
pub const CONTROL_LEN: usize = 32;

const GET_SERVER_FEATURE: u16 = 0;
const SET_CLIENT_FEATURE: u16 = 1;
const KEEPALIVE: u16 = 2;
const REGISTER_XFER_MEMORY: u16 = 3;

/// Memory that its owner's peer may write stream bytes into, from its start upward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Virtual address of the first byte, in its owner's process.
    pub addr: u64,
    /// Bytes.
    pub length: u32,
    /// The key that lets the peer write there.
    pub rkey: u32,
}

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Asks for the server's feature bits (from a client), or tells them (from a server).
    GetServerFeature { select: u16, features: u64 },
    /// Sets the feature bits that the client wants to use.
    SetClientFeature { select: u16, features: u64 },
    /// Shows that the other side is there; asks for nothing.
    Keepalive,
    /// Hands out the sender's receive region: the peer writes from its start.
    RegisterXferMemory(Region),
}

/// Why bytes are not a control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// Not [`CONTROL_LEN`] bytes.
    Length(usize),
    /// No message has this opcode.
    Opcode(u16),
    /// A region of no bytes.
    EmptyRegion,
    /// A region that goes past the end of the address space.
    WrappingRegion(Region),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::Length(n) => {
                write!(f, "a control message of {n} bytes, where {CONTROL_LEN} are due")
            }
            ControlError::Opcode(opcode) => write!(f, "a control message of opcode {opcode}"),
            ControlError::EmptyRegion => f.write_str("a transfer buffer of 0 bytes"),
            ControlError::WrappingRegion(region) => write!(
                f,
                "a transfer buffer of {} bytes at {:#x}, past the end of memory",
                region.length, region.addr
            ),
        }
    }
}

impl std::error::Error for ControlError {}

impl Control {
    /// The bytes that go over the wire.
    pub fn encode(&self) -> [u8; CONTROL_LEN] {
        let mut bytes = [0; CONTROL_LEN];
        let opcode = match *self {
            Control::GetServerFeature { select, features } => {
                put_features(&mut bytes, select, features);
                GET_SERVER_FEATURE
            }
            Control::SetClientFeature { select, features } => {
                put_features(&mut bytes, select, features);
                SET_CLIENT_FEATURE
            }
            Control::Keepalive => KEEPALIVE,
            Control::RegisterXferMemory(region) => {
                bytes[16..24].copy_from_slice(&region.addr.to_be_bytes());
                bytes[24..28].copy_from_slice(&region.length.to_be_bytes());
                bytes[28..32].copy_from_slice(&region.rkey.to_be_bytes());
                REGISTER_XFER_MEMORY
            }
        };
        bytes[..2].copy_from_slice(&opcode.to_be_bytes());
        bytes
    }
}

fn put_features(bytes: &mut [u8; CONTROL_LEN], select: u16, features: u64) {
    bytes[2..4].copy_from_slice(&select.to_be_bytes());
    bytes[24..32].copy_from_slice(&features.to_be_bytes());
}

/// Reads the control message that `bytes` are. Reserved bytes are not looked at.
///
/// # Errors
/// For anything that a peer may not send; never panics.
pub fn decode_control(bytes: &[u8]) -> Result<Control, ControlError> {
    let bytes: &[u8; CONTROL_LEN] =
        bytes.try_into().map_err(|_| ControlError::Length(bytes.len()))?;
    let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let u32_at =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
    match u16_at(0) {
        GET_SERVER_FEATURE => {
            Ok(Control::GetServerFeature { select: u16_at(2), features: u64_at(24) })
        }
        SET_CLIENT_FEATURE => {
            Ok(Control::SetClientFeature { select: u16_at(2), features: u64_at(24) })
        }
        KEEPALIVE => Ok(Control::Keepalive),
        REGISTER_XFER_MEMORY => {
            let region = Region { addr: u64_at(16), length: u32_at(24), rkey: u32_at(28) };
            if region.length == 0 {
                Err(ControlError::EmptyRegion)
            } else if region.addr.checked_add(region.length.into()).is_none() {
                Err(ControlError::WrappingRegion(region))
            } else {
                Ok(Control::RegisterXferMemory(region))
            }
        }
        opcode => Err(ControlError::Opcode(opcode)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_have_the_layout_of_the_specification() {
        let region = Region { addr: 0x0102030405060708, length: 0x0a0b0c0d, rkey: 0x11121314 };
        let mut expected = [0; CONTROL_LEN];
        expected[1] = 3;
        expected[16..24].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        expected[24..28].copy_from_slice(&[0x0a, 0x0b, 0x0c, 0x0d]);
        expected[28..].copy_from_slice(&[0x11, 0x12, 0x13, 0x14]);
        assert_eq!(Control::RegisterXferMemory(region).encode(), expected);

        let mut expected = [0; CONTROL_LEN];
        expected[1] = 1;
        expected[3] = 7;
        expected[31] = 9;
        assert_eq!(Control::SetClientFeature { select: 7, features: 9 }.encode(), expected);

        let mut expected = [0; CONTROL_LEN];
        expected[1] = 2;
        assert_eq!(Control::Keepalive.encode(), expected);
    }

    #[test]
    fn reserved_bytes_are_ignored() {
        let mut bytes = [0xff; CONTROL_LEN];
        bytes[..2].copy_from_slice(&[0, 2]);
        assert_eq!(decode_control(&bytes), Ok(Control::Keepalive));
    }

    #[test]
    fn forbidden_messages_are_refused() {
        let message = Control::Keepalive.encode();
        assert_eq!(decode_control(&message[..31]), Err(ControlError::Length(31)));
        assert_eq!(decode_control(&[]), Err(ControlError::Length(0)));
        assert_eq!(decode_control(&[0; 33]), Err(ControlError::Length(33)));
        let mut unknown = message;
        unknown[1] = 4;
        assert_eq!(decode_control(&unknown), Err(ControlError::Opcode(4)));
        let empty = Region { addr: 4096, length: 0, rkey: 1 };
        assert_eq!(
            decode_control(&Control::RegisterXferMemory(empty).encode()),
            Err(ControlError::EmptyRegion)
        );
        let wrapping = Region { addr: u64::MAX - 10, length: 11, rkey: 1 };
        assert_eq!(
            decode_control(&Control::RegisterXferMemory(wrapping).encode()),
            Err(ControlError::WrappingRegion(wrapping))
        );
    }

    fn control() -> impl Strategy<Value = Control> {
        prop_oneof![
            any::<(u16, u64)>()
                .prop_map(|(select, features)| Control::GetServerFeature { select, features }),
            any::<(u16, u64)>()
                .prop_map(|(select, features)| Control::SetClientFeature { select, features }),
            Just(Control::Keepalive),
            (0..u64::MAX - u64::from(u32::MAX), 1..=u32::MAX, any::<u32>()).prop_map(
                |(addr, length, rkey)| Control::RegisterXferMemory(Region { addr, length, rkey })
            ),
        ]
    }

    proptest! {
        #[test]
        fn every_message_survives_the_wire(message in control()) {
            prop_assert_eq!(decode_control(&message.encode()), Ok(message));
        }

        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_control(&bytes);
        }
    }
}
