//! Small collections as one string of bytes.
//!
//! Two bytes with the number of elements (little-endian; [`UNCOUNTED`] stands for that many and
//! more), then the elements. An element is encoded as in a listpack: its encoding and length, its
//! data, and the length of these two, so that it can be found from either side. DUMP and RESTORE
//! exchange a listpack: a header of six bytes, the elements, and the byte 255.
//!
//! An element's place is its offset from the start. Nothing here checks bytes from outside except
//! [`validate`].

pub use super::splice::Splice;
use crate::number::parse_i64;

/// Without elements.
pub const EMPTY: &[u8] = &[0; HEADER];

/// Bytes before the elements.
pub const HEADER: usize = size_of::<u16>();

/// Elements from which on they are counted by going over them.
pub const UNCOUNTED: u16 = u16::MAX;

/// An element. A string that is the decimal form of an integer is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The form in which a string is stored.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Element<'a> {
        parse_i64(bytes).map_or(Element::Bytes(bytes), Element::Int)
    }

    /// The string; an integer is written into `digits`.
    #[inline]
    pub fn bytes<'b>(self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Element::Int(number) => digits.format(number).as_bytes(),
            Element::Bytes(bytes) => bytes,
        }
    }

    #[inline]
    pub fn equals(self, bytes: &[u8]) -> bool {
        match self {
            Element::Bytes(own) => own == bytes,
            Element::Int(number) => parse_i64(bytes) == Some(number),
        }
    }

    /// Bytes of the string.
    pub fn len(self) -> usize {
        self.bytes(&mut itoa::Buffer::new()).len()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn head_and_data(self) -> (Head, &'a [u8]) {
        match self {
            Element::Int(number) => (Head::int(number), &[]),
            Element::Bytes(bytes) => (Head::string(bytes.len()), bytes),
        }
    }

    /// Bytes that the element takes in all.
    pub fn encoded_len(self) -> usize {
        let (head, data) = self.head_and_data();
        let body = head.len + data.len();
        body + tail_len(body)
    }

    /// Writes the element into the bytes that it takes.
    fn write(self, to: &mut [u8]) {
        let (head, data) = self.head_and_data();
        let body = head.len + data.len();
        to[..head.len].copy_from_slice(head.bytes());
        to[head.len..body].copy_from_slice(data);
        write_tail(&mut to[body..], body);
    }
}

/// The head of an element: its encoding, and its length without the length field at the end.
#[derive(Clone, Copy)]
struct Head {
    bytes: [u8; 9],
    /// Of `bytes`: for an integer this is all.
    len: usize,
}

impl Head {
    fn int(number: i64) -> Head {
        let mut bytes = [0; 9];
        let little = number.to_le_bytes();
        let len = match number {
            0..=127 => {
                bytes[0] = number as u8;
                return Head { bytes, len: 1 };
            }
            -4096..=4095 => {
                let bits = number as u16 & 0x1fff;
                [bytes[0], bytes[1]] = (0xc000 | bits).to_be_bytes();
                return Head { bytes, len: 2 };
            }
            -0x8000..=0x7fff => 2,
            -0x80_0000..=0x7f_ffff => 3,
            -0x8000_0000..=0x7fff_ffff => 4,
            _ => 8,
        };
        bytes[0] = match len {
            8 => 0xf4,
            _ => 0xf1 + (len as u8 - 2),
        };
        bytes[1..=len].copy_from_slice(&little[..len]);
        Head { bytes, len: 1 + len }
    }

    fn string(length: usize) -> Head {
        let mut bytes = [0; 9];
        let len = match length {
            0..=63 => {
                bytes[0] = 0x80 | length as u8;
                1
            }
            64..=4095 => {
                [bytes[0], bytes[1]] = (0xe000 | length as u16).to_be_bytes();
                2
            }
            _ => {
                bytes[0] = 0xf0;
                let length = u32::try_from(length).expect("a string's length fits in 32 bits");
                bytes[1..5].copy_from_slice(&length.to_le_bytes());
                5
            }
        };
        Head { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Bytes of the length at an element's end, where head and data take `len`.
#[inline]
fn tail_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

/// Writes that length: seven bits a byte, the highest first; all but the first are marked.
fn write_tail(to: &mut [u8], len: usize) {
    let mut rest = len;
    for (at, byte) in to.iter_mut().enumerate().rev() {
        *byte = (rest & 127) as u8 | if at > 0 { 128 } else { 0 };
        rest >>= 7;
    }
}

/// Bytes that an element takes in all.
pub fn encoded_len(element: &[u8]) -> usize {
    Element::of(element).encoded_len()
}

/// Bytes of the head and data of the element that begins `bytes`; `None` if it is cut off or none.
#[inline]
fn body_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    Some(match first {
        0..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(*bytes.get(1)?)),
        0xf0 => 5 + u32::from_le_bytes(*bytes.get(1..)?.first_chunk()?) as usize,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        _ => return None,
    })
}

/// A packed collection, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    /// # Panics
    /// If the bytes are not even a header.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Packed<'a> {
        assert!(bytes.len() >= HEADER);
        Packed(bytes)
    }

    /// All of it.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Elements.
    #[inline]
    pub fn len(self) -> usize {
        match u16::from_le_bytes([self.0[0], self.0[1]]) {
            UNCOUNTED => self.offsets().count(),
            count => count.into(),
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.len() == HEADER
    }

    /// The offset after the last element.
    #[inline]
    pub fn end(self) -> usize {
        self.0.len()
    }

    pub fn first(self) -> Option<usize> {
        (!self.is_empty()).then_some(HEADER)
    }

    pub fn last(self) -> Option<usize> {
        self.prev(self.end())
    }

    /// The element after the one at `offset`.
    #[inline]
    pub fn next(self, offset: usize) -> Option<usize> {
        let next = self.after(offset);
        (next < self.end()).then_some(next)
    }

    /// The element before the one at `offset`, which may be the end.
    #[inline]
    pub fn prev(self, offset: usize) -> Option<usize> {
        if offset <= HEADER {
            return None;
        }
        let (mut len, mut shift, mut at) = (0, 0, offset);
        loop {
            at -= 1;
            let byte = self.0[at];
            len |= usize::from(byte & 127) << shift;
            shift += 7;
            if byte & 128 == 0 {
                return Some(at - len);
            }
        }
    }

    /// The offset after the element at `offset`.
    #[inline]
    pub fn after(self, offset: usize) -> usize {
        let len = body_len(&self.0[offset..]).expect("an offset is an element's");
        offset + len + tail_len(len)
    }

    /// The element at `offset`.
    #[inline]
    pub fn get(self, offset: usize) -> Element<'a> {
        self.get_with_body(offset).0
    }

    #[inline]
    fn get_with_body(self, offset: usize) -> (Element<'a>, usize) {
        let bytes = &self.0[offset..];
        let first = bytes[0];
        let signed = |len: usize| {
            let mut little = [0; 8];
            little[8 - len..].copy_from_slice(&bytes[1..=len]);
            let number = i64::from_le_bytes(little) >> (64 - 8 * len);
            (Element::Int(number), 1 + len)
        };
        let string =
            |start: usize, len: usize| (Element::Bytes(&bytes[start..start + len]), start + len);
        match first {
            0..=0x7f => (Element::Int(first.into()), 1),
            0x80..=0xbf => string(1, usize::from(first & 0x3f)),
            0xc0..=0xdf => {
                let bits = i64::from(first & 0x1f) << 8 | i64::from(bytes[1]);
                // The sign is the thirteenth bit.
                (Element::Int(bits << 51 >> 51), 2)
            }
            0xe0..=0xef => string(2, usize::from(first & 0x0f) << 8 | usize::from(bytes[1])),
            0xf1 => signed(2),
            0xf2 => signed(3),
            0xf3 => signed(4),
            0xf4 => signed(8),
            _ => string(5, body_len(bytes).expect("an offset is an element's") - 5),
        }
    }

    /// The offsets of all elements.
    #[inline]
    pub fn offsets(self) -> impl DoubleEndedIterator<Item = usize> + Clone + use<'a> {
        self.iter_from(HEADER).with_offsets().map(|(offset, _)| offset)
    }

    #[inline]
    pub fn iter(self) -> Iter<'a> {
        self.iter_from(HEADER)
    }

    /// The elements from `offset` on, which may be the end.
    #[inline]
    pub fn iter_from(self, offset: usize) -> Iter<'a> {
        Iter { packed: self, front: offset, back: self.end() }
    }

    /// The offset of the element of that index, from the nearer end.
    pub fn nth(self, index: usize) -> Option<usize> {
        let len = self.len();
        if index >= len {
            return None;
        }
        if index <= len / 2 {
            self.offsets().nth(index)
        } else {
            self.offsets().nth_back(len - 1 - index)
        }
    }

    /// The first of every `step`th element, after `skip` elements, that equals `needle`.
    #[inline]
    pub fn find(self, needle: &[u8], step: usize, skip: usize) -> Option<usize> {
        let needle = Element::of(needle);
        let mut offset = HEADER;
        let mut passing = skip;
        while offset < self.end() {
            if passing > 0 {
                passing -= 1;
                offset = self.after(offset);
                continue;
            }
            let (element, body) = self.get_with_body(offset);
            if element == needle {
                return Some(offset);
            }
            offset += body + tail_len(body);
            passing = step - 1;
        }
        None
    }
}

impl<'a> IntoIterator for Packed<'a> {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The elements of a packed collection, from both sides.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    packed: Packed<'a>,
    front: usize,
    back: usize,
}

impl<'a> Iter<'a> {
    /// The elements with their offsets.
    pub fn with_offsets(self) -> WithOffsets<'a> {
        WithOffsets(self)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, body) = self.packed.get_with_body(self.front);
        self.front += body + tail_len(body);
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = self.packed.prev(self.back)?;
        Some(self.packed.get(self.back))
    }
}

/// [`Iter::with_offsets`].
#[derive(Clone, Debug)]
pub struct WithOffsets<'a>(Iter<'a>);

impl<'a> Iterator for WithOffsets<'a> {
    type Item = (usize, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.0.front;
        self.0.next().map(|element| (offset, element))
    }
}

impl DoubleEndedIterator for WithOffsets<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|element| (self.0.back, element))
    }
}

/// Whether bytes from outside are a packed collection, and its count is right.
pub fn validate(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk() else { return false };
    let count = u16::from_le_bytes(*header);
    let (mut offset, mut elements) = (HEADER, 0usize);
    while offset < bytes.len() {
        let Some(len) = body_len(&bytes[offset..]) else { return false };
        let mut tail = [0; 5];
        let tail = &mut tail[..tail_len(len)];
        write_tail(tail, len);
        let Some(end) = offset.checked_add(len) else { return false };
        if bytes.get(end..end + tail.len()) != Some(&*tail) {
            return false;
        }
        offset = end + tail.len();
        elements += 1;
    }
    count == UNCOUNTED || usize::from(count) == elements
}

/// Adds an element before the one at `at`, which may be the end.
#[inline]
pub fn insert(to: &mut impl Splice, at: usize, element: &[u8]) {
    put(to, at, 0, Element::of(element));
    count(to, 1);
}

/// Adds an integer before the element at `at`, which may be the end.
#[inline]
pub fn insert_int(to: &mut impl Splice, at: usize, number: i64) {
    put(to, at, 0, Element::Int(number));
    count(to, 1);
}

/// Adds an element at the end.
#[inline]
pub fn push(to: &mut impl Splice, element: &[u8]) {
    let end = to.bytes().len();
    insert(to, end, element);
}

/// Adds two elements at the end, which moves the others once.
#[inline]
pub fn push_pair(to: &mut impl Splice, first: &[u8], second: &[u8]) {
    let (first, second) = (Element::of(first), Element::of(second));
    let (split, end) = (first.encoded_len(), to.bytes().len());
    let gap = to.splice(end, 0, split + second.encoded_len());
    first.write(&mut gap[..split]);
    second.write(&mut gap[split..]);
    count(to, 2);
}

/// Replaces the element at `at`.
#[inline]
pub fn replace(to: &mut impl Splice, at: usize, element: &[u8]) {
    let old = Packed::new(to.bytes()).after(at) - at;
    put(to, at, old, Element::of(element));
}

/// Removes `elements` of them from `at` on, or all that there are.
pub fn remove(from: &mut impl Splice, at: usize, elements: usize) {
    let packed = Packed::new(from.bytes());
    let (mut end, mut removed) = (at, 0);
    while removed < elements && end < packed.end() {
        end = packed.after(end);
        removed += 1;
    }
    from.splice(at, end - at, 0);
    count(from, -(removed as isize));
}

/// Puts an element in the place of `old` bytes.
#[inline]
fn put(to: &mut impl Splice, at: usize, old: usize, element: Element<'_>) {
    element.write(to.splice(at, old, element.encoded_len()));
}

/// Changes the number of elements.
#[inline]
fn count(of: &mut impl Splice, change: isize) {
    let header = of.bytes_mut().first_chunk_mut().expect("a header");
    let before = u16::from_le_bytes(*header);
    if before != UNCOUNTED {
        let after = usize::from(before).checked_add_signed(change).expect("no more than there are");
        *header = u16::try_from(after).unwrap_or(UNCOUNTED).to_le_bytes();
    } else if change < 0 {
        // There may be so few now that they can be counted again.
        let elements = Packed::new(of.bytes()).offsets().count();
        let counted = u16::try_from(elements).unwrap_or(UNCOUNTED);
        of.bytes_mut()[..HEADER].copy_from_slice(&counted.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(packed: &[u8]) -> Vec<Vec<u8>> {
        let iter = Packed::new(packed).iter();
        iter.map(|element| element.bytes(&mut itoa::Buffer::new()).to_vec()).collect()
    }

    fn packed<T: AsRef<[u8]>>(elements: impl IntoIterator<Item = T>) -> Vec<u8> {
        let mut bytes = EMPTY.to_vec();
        elements.into_iter().for_each(|element| push(&mut bytes, element.as_ref()));
        bytes
    }

    #[test]
    fn a_pair_is_two_elements() {
        let strings = [&b""[..], b"12", b"-5000", b"text", &[b'x'; 64], &[b'y'; 5000]];
        for first in strings {
            for second in strings {
                let mut pair = packed([b"before"]);
                push_pair(&mut pair, first, second);
                assert_eq!(pair, packed([b"before", first, second]));
            }
        }
    }

    /// From the oracle's DUMP of lists with one element.
    #[test]
    fn elements_are_encoded_as_in_a_listpack() {
        for (element, expected) in [
            ("0", &[0x00, 1][..]),
            ("127", &[0x7f, 1]),
            ("128", &[0xc0, 0x80, 2]),
            ("-1", &[0xdf, 0xff, 2]),
            ("4095", &[0xcf, 0xff, 2]),
            ("-4096", &[0xd0, 0x00, 2]),
            ("4096", &[0xf1, 0x00, 0x10, 3]),
            ("-32768", &[0xf1, 0x00, 0x80, 3]),
            ("32768", &[0xf2, 0x00, 0x80, 0x00, 4]),
            ("8388608", &[0xf3, 0x00, 0x00, 0x80, 0x00, 5]),
            ("2147483648", &[0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]),
            ("", &[0x80, 1]),
            ("abc", &[0x83, b'a', b'b', b'c', 4]),
            ("01", &[0x82, b'0', b'1', 3]),
        ] {
            let bytes = packed([element]);
            assert_eq!(&bytes[HEADER..], expected, "{element}");
            assert_eq!(encoded_len(element.as_bytes()), expected.len());
        }
        let bytes = packed([[b'x'; 64]]);
        assert_eq!((&bytes[2..4], bytes[68]), (&[0xe0, 64][..], 66));
        let bytes = packed([[b'x'; 200]]);
        assert_eq!(bytes[204..], [1, 128 | 74]);
        let bytes = packed([[b'x'; 5000]]);
        assert_eq!(
            (&bytes[2..7], &bytes[5007..]),
            (&[0xf0, 0x88, 0x13, 0, 0][..], &[39, 128 | 13][..])
        );
    }

    /// From the lengths of the oracle's DUMP of hashes with one field.
    #[test]
    fn a_length_takes_as_many_bytes_as_it_has_seven_bits() {
        for (body, tail) in
            [(127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_151, 3), (2_097_152, 4)]
        {
            let head = match body {
                ..=4097 => 2,
                _ => 5,
            };
            let bytes = packed([vec![b'x'; body - head]]);
            assert_eq!(bytes.len() - HEADER - body, tail, "{body}");
            assert!(validate(&bytes));
            assert_eq!(Packed::new(&bytes).last(), Some(HEADER));
        }
    }

    #[test]
    fn more_elements_than_are_counted_are_still_there() {
        let mut bytes = packed((0..70_000).map(|number| (number % 9).to_string()));
        assert_eq!(Packed::new(&bytes).len(), 70_000);
        remove(&mut bytes, HEADER, 10_000);
        assert_eq!((Packed::new(&bytes).len(), bytes[..2] != [255, 255]), (60_000, true));
        assert!(validate(&bytes));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, Vec<u8>),
        Replace(usize, Vec<u8>),
        Remove(usize, usize),
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            (-5000..5000i64).prop_map(|number| number.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..70),
            (100..20_000usize).prop_map(|len| vec![b'y'; len]),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (any::<usize>(), element()).prop_map(|(at, bytes)| Step::Insert(at, bytes)),
            1 => (any::<usize>(), element()).prop_map(|(at, bytes)| Step::Replace(at, bytes)),
            1 => (any::<usize>(), 0..4usize).prop_map(|(at, count)| Step::Remove(at, count)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 5 } else { 200 }))]

        #[test]
        fn a_packed_collection_equals_a_vector(steps in prop::collection::vec(step(), 0..40)) {
            let (mut bytes, mut model) = (EMPTY.to_vec(), Vec::<Vec<u8>>::new());
            for step in steps {
                match step {
                    Step::Insert(at, element) => {
                        let index = at % (model.len() + 1);
                        let view = Packed::new(&bytes);
                        let at = view.nth(index).unwrap_or(view.end());
                        insert(&mut bytes, at, &element);
                        model.insert(index, element);
                    }
                    Step::Replace(at, element) if !model.is_empty() => {
                        let index = at % model.len();
                        let at = Packed::new(&bytes).nth(index).unwrap();
                        replace(&mut bytes, at, &element);
                        model[index] = element;
                    }
                    Step::Remove(at, count) if !model.is_empty() => {
                        let index = at % model.len();
                        let at = Packed::new(&bytes).nth(index).unwrap();
                        remove(&mut bytes, at, count);
                        model.drain(index..(index + count).min(model.len()));
                    }
                    _ => {}
                }
                let view = Packed::new(&bytes);
                prop_assert_eq!(view.len(), model.len());
                prop_assert_eq!(&strings(&bytes), &model);
                prop_assert!(validate(&bytes));
                let backwards = view.iter().rev().map(|e| e.bytes(&mut itoa::Buffer::new()).to_vec());
                prop_assert!(backwards.eq(model.iter().rev().cloned()));
                prop_assert_eq!(view.offsets().rev().collect::<Vec<_>>().len(), model.len());
                for (index, element) in model.iter().enumerate() {
                    let found = view.find(element, 1, 0).unwrap();
                    let first = model.iter().position(|other| other == element);
                    prop_assert_eq!(view.nth(first.unwrap()), Some(found));
                    let odd = view.find(element, 2, 1);
                    let expected = (1..model.len()).step_by(2).find(|at| model[*at] == *element);
                    prop_assert_eq!(odd, expected.and_then(|at| view.nth(at)), "{}", index);
                    prop_assert!(view.get(found).equals(element));
                }
                prop_assert_eq!(view.first(), view.nth(0));
                prop_assert_eq!(view.last(), model.len().checked_sub(1).and_then(|i| view.nth(i)));
            }
        }

        #[test]
        fn bytes_from_outside_are_refused_or_can_be_read(
            start in prop::collection::vec(element(), 0..5),
            changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
            cut in any::<usize>(),
        ) {
            let mut bytes = packed(start);
            for (at, byte) in changes {
                let len = bytes.len();
                bytes[at % len] = byte;
            }
            bytes.truncate(cut % (bytes.len() * 2) + 1);
            if validate(&bytes) {
                let view = Packed::new(&bytes);
                prop_assert_eq!(view.iter().count(), view.len());
                prop_assert_eq!(view.iter().rev().count(), view.len());
            }
        }
    }
}
