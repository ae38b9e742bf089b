//! A hash bucket: one cache line with seven tagged slots, and a chain where seven do not suffice.

use std::mem::ManuallyDrop;
use std::ptr;

use super::Slot;

/// Slots of a bucket.
pub const SLOTS: usize = 7;

const CHAIN_SLOT: usize = SLOTS - 1;
const HAS_CHAIN: u8 = 1 << 7;

/// A slot that is not null holds an entry, whose hash tag is in `tags`. With `HAS_CHAIN` set in
/// `volatile`, the last slot holds the next bucket of the chain instead.
#[repr(C, align(64))]
pub struct Bucket<E: Slot> {
    slots: [Content<E>; SLOTS],
    tags: [u8; SLOTS],
    /// Bit `i`: the entry in slot `i` may have an expiry. Bit 7: there is a chain.
    volatile: u8,
}

/// Empty, an entry, or (last slot of a bucket with a chain) the next bucket.
union Content<E: Slot> {
    empty: *mut (),
    entry: ManuallyDrop<E>,
    chain: ManuallyDrop<Box<Bucket<E>>>,
}

impl<E: Slot> Content<E> {
    const EMPTY: Content<E> = {
        assert!(size_of::<E>() == size_of::<*mut ()>());
        Content { empty: ptr::null_mut() }
    };
}

/// The place of an entry: bucket of the chain (0 is the first), slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    depth: u32,
    slot: u8,
}

// SAFETY: a bucket owns its entries and its chain, and nothing else.
unsafe impl<E: Slot + Send> Send for Bucket<E> {}
// SAFETY: a shared reference gives shared references to the entries only.
unsafe impl<E: Slot + Sync> Sync for Bucket<E> {}

impl<E: Slot> Default for Bucket<E> {
    fn default() -> Self {
        const { assert!(size_of::<Bucket<E>>() == 64) };
        Bucket { slots: [const { Content::EMPTY }; SLOTS], tags: [0; SLOTS], volatile: 0 }
    }
}

impl<E: Slot + Clone> Clone for Bucket<E> {
    fn clone(&self) -> Self {
        let mut clone = Bucket::default();
        for place in self.places() {
            let Bucket { tags, volatile, .. } = self.at_depth(place.depth);
            let is_volatile = volatile & 1 << place.slot != 0;
            clone.insert(tags[usize::from(place.slot)], is_volatile, self.get(place).clone());
        }
        clone
    }
}

impl<E: Slot> Bucket<E> {
    fn chain(&self) -> Option<&Bucket<E>> {
        // SAFETY: the flag says that the last slot holds a bucket.
        (self.volatile & HAS_CHAIN != 0).then(|| unsafe { &**self.slots[CHAIN_SLOT].chain })
    }

    fn chain_mut(&mut self) -> Option<&mut Bucket<E>> {
        // SAFETY: as above.
        (self.volatile & HAS_CHAIN != 0).then(|| unsafe { &mut **self.slots[CHAIN_SLOT].chain })
    }

    /// The bucket and those of its chain.
    #[inline]
    fn with_chain(&self) -> impl Iterator<Item = &Bucket<E>> {
        std::iter::successors(Some(self), |bucket| bucket.chain())
    }

    /// Buckets that are chained to this one.
    pub fn chain_len(&self) -> usize {
        self.with_chain().count() - 1
    }

    fn at_depth(&self, depth: u32) -> &Bucket<E> {
        let mut bucket = self;
        for _ in 0..depth {
            bucket = bucket.chain().expect("a place is inside its chain");
        }
        bucket
    }

    fn at_depth_mut(&mut self, depth: u32) -> &mut Bucket<E> {
        let mut bucket = self;
        for _ in 0..depth {
            bucket = bucket.chain_mut().expect("a place is inside its chain");
        }
        bucket
    }

    fn slots_for_entries(&self) -> usize {
        if self.volatile & HAS_CHAIN != 0 { CHAIN_SLOT } else { SLOTS }
    }

    fn entry(&self, slot: usize) -> Option<&E> {
        if slot >= self.slots_for_entries() {
            return None;
        }
        // SAFETY: the slot does not hold a chain, so it is null or an entry.
        unsafe {
            if self.slots[slot].empty.is_null() { None } else { Some(&self.slots[slot].entry) }
        }
    }

    /// The bits of the slots whose tag is `tag`; empty slots may be among them.
    #[inline]
    fn candidates(&self, tag: u8) -> u64 {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let mut word = [0; 8];
        word[..SLOTS].copy_from_slice(&self.tags);
        let differences = u64::from_le_bytes(word) ^ (LOW * u64::from(tag));
        // A byte's high bit is set if the byte is zero; a false positive above a true one does no harm.
        (differences.wrapping_sub(LOW) & !differences & HIGH) & (u64::MAX >> 8)
    }

    /// Hints that an entry with hash tag `tag` will be read soon.
    #[inline]
    pub fn prefetch(&self, tag: u8) {
        let candidates = self.candidates(tag);
        if candidates != 0
            && let Some(entry) = self.entry(candidates.trailing_zeros() as usize / 8)
        {
            entry.prefetch();
        }
    }

    /// Finds the entry of `key`.
    #[inline]
    pub fn find(&self, tag: u8, key: &[u8]) -> Option<Place> {
        let mut bucket = self;
        let mut depth = 0;
        loop {
            let mut candidates = bucket.candidates(tag);
            while candidates != 0 {
                let slot = candidates.trailing_zeros() as usize / 8;
                if bucket.entry(slot).is_some_and(|entry| entry.key() == key) {
                    return Some(Place { depth, slot: slot as u8 });
                }
                candidates &= candidates - 1;
            }
            bucket = bucket.chain()?;
            depth += 1;
        }
    }

    #[inline]
    pub fn get(&self, place: Place) -> &E {
        self.at_depth(place.depth).entry(place.slot.into()).expect("a place holds an entry")
    }

    #[inline]
    pub fn get_mut(&mut self, place: Place) -> &mut E {
        let bucket = self.at_depth_mut(place.depth);
        let slot = usize::from(place.slot);
        assert!(bucket.entry(slot).is_some());
        // SAFETY: the slot holds an entry.
        unsafe { &mut bucket.slots[slot].entry }
    }

    /// Notes whether the entry at `place` may have an expiry.
    pub fn set_volatile(&mut self, place: Place, volatile: bool) {
        let bucket = self.at_depth_mut(place.depth);
        let bit = 1 << place.slot;
        bucket.volatile = if volatile { bucket.volatile | bit } else { bucket.volatile & !bit };
    }

    #[cfg(test)]
    fn is_volatile(&self, place: Place) -> bool {
        self.at_depth(place.depth).volatile & 1 << place.slot != 0
    }

    /// Adds an entry whose key is not in the bucket yet.
    pub fn insert(&mut self, tag: u8, volatile: bool, entry: E) -> Place {
        let mut bucket = self;
        let mut depth = 0;
        loop {
            let count = bucket.slots_for_entries();
            if let Some(slot) = (0..count).find(|&slot| bucket.entry(slot).is_none()) {
                bucket.slots[slot] = Content { entry: ManuallyDrop::new(entry) };
                bucket.tags[slot] = tag;
                bucket.volatile |= u8::from(volatile) << slot;
                return Place { depth, slot: slot as u8 };
            }
            if count == SLOTS {
                bucket.start_chain();
            }
            bucket = bucket.chain_mut().expect("a full bucket has a chain");
            depth += 1;
        }
    }

    /// Makes a chain, and moves the entry in the last slot there.
    fn start_chain(&mut self) {
        let mut next = Box::<Bucket<E>>::default();
        let volatile = self.volatile & 1 << CHAIN_SLOT != 0;
        self.volatile &= !(1 << CHAIN_SLOT);
        let last = std::mem::replace(&mut self.slots[CHAIN_SLOT], Content::EMPTY);
        // SAFETY: the bucket is full and has no chain, so the slot held an entry, which moves.
        let last = ManuallyDrop::into_inner(unsafe { last.entry });
        next.insert(self.tags[CHAIN_SLOT], volatile, last);
        self.tags[CHAIN_SLOT] = 0;
        self.slots[CHAIN_SLOT] = Content { chain: ManuallyDrop::new(next) };
        self.volatile |= HAS_CHAIN;
    }

    /// Takes an entry out, and frees the buckets at the chain's end that it leaves empty.
    pub fn remove(&mut self, place: Place) -> E {
        let bucket = self.at_depth_mut(place.depth);
        let slot = usize::from(place.slot);
        assert!(bucket.entry(slot).is_some());
        bucket.volatile &= !(1 << slot);
        bucket.tags[slot] = 0;
        let taken = std::mem::replace(&mut bucket.slots[slot], Content::EMPTY);
        if self.volatile & HAS_CHAIN != 0 {
            self.trim_chain();
        }
        // SAFETY: the slot held an entry, which moves out.
        ManuallyDrop::into_inner(unsafe { taken.entry })
    }

    fn trim_chain(&mut self) {
        let Some(next) = self.chain_mut() else { return };
        next.trim_chain();
        if next.volatile & HAS_CHAIN == 0 && next.is_empty() {
            self.volatile &= !HAS_CHAIN;
            let chain = std::mem::replace(&mut self.slots[CHAIN_SLOT], Content::EMPTY);
            // SAFETY: the flag said that the slot held a bucket; it is dropped once.
            drop(ManuallyDrop::into_inner(unsafe { chain.chain }));
        }
    }

    /// True if no slot of this bucket (the chain aside) holds an entry.
    fn is_empty(&self) -> bool {
        (0..SLOTS).all(|slot| self.entry(slot).is_none())
    }

    /// Hints that the chain, if there is one, will be read soon.
    #[inline]
    pub fn prefetch_chain(&self) {
        if let Some(chain) = self.chain() {
            super::prefetch(chain);
        }
    }

    /// All entries with their tags, chain included.
    #[inline]
    pub fn tagged(&self) -> impl Iterator<Item = (u8, &E)> {
        self.with_chain().flat_map(|bucket| {
            (0..SLOTS).filter_map(|slot| Some((bucket.tags[slot], bucket.entry(slot)?)))
        })
    }

    /// The entries with a tag, chain included.
    #[inline]
    pub fn tagged_as(&self, tag: u8) -> impl Iterator<Item = &E> {
        self.with_chain().flat_map(move |bucket| {
            let mut candidates = bucket.candidates(tag);
            std::iter::from_fn(move || {
                while candidates != 0 {
                    let slot = candidates.trailing_zeros() as usize / 8;
                    candidates &= candidates - 1;
                    // A false positive is possible above a true one.
                    if bucket.tags[slot] == tag
                        && let Some(entry) = bucket.entry(slot)
                    {
                        return Some(entry);
                    }
                }
                None
            })
        })
    }

    /// The places of all entries, chain included.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.with_chain().enumerate().flat_map(|(depth, bucket)| {
            (0..SLOTS)
                .filter(|&slot| bucket.entry(slot).is_some())
                .map(move |slot| Place { depth: depth as u32, slot: slot as u8 })
        })
    }

    /// The places of the entries that may have an expiry.
    pub fn volatile_places(&self) -> impl Iterator<Item = Place> + '_ {
        self.with_chain().enumerate().flat_map(|(depth, bucket)| {
            let bits = bucket.volatile & !HAS_CHAIN;
            (0..SLOTS)
                .filter(move |&slot| bits & 1 << slot != 0)
                .map(move |slot| Place { depth: depth as u32, slot: slot as u8 })
        })
    }

    /// Takes all entries out: tag, volatile, entry.
    pub fn drain(&mut self, mut each: impl FnMut(u8, bool, E)) {
        let mut bucket = std::mem::take(self);
        loop {
            let mut next = None;
            for slot in 0..SLOTS {
                let taken = std::mem::replace(&mut bucket.slots[slot], Content::EMPTY);
                // SAFETY: the slot holds what the flag and the null check say; each is taken once.
                unsafe {
                    if slot == CHAIN_SLOT && bucket.volatile & HAS_CHAIN != 0 {
                        next = Some(ManuallyDrop::into_inner(taken.chain));
                    } else if !taken.empty.is_null() {
                        let entry = ManuallyDrop::into_inner(taken.entry);
                        each(bucket.tags[slot], bucket.volatile & 1 << slot != 0, entry);
                    }
                }
            }
            bucket.volatile = 0;
            match next {
                Some(mut next) => bucket = std::mem::take(&mut *next),
                None => return,
            }
        }
    }
}

impl<E: Slot> Drop for Bucket<E> {
    fn drop(&mut self) {
        let has_chain = self.volatile & HAS_CHAIN != 0;
        for (slot, content) in self.slots.iter_mut().enumerate() {
            // SAFETY: the slot holds what the flag and the null check say, and is dropped once.
            unsafe {
                if slot == CHAIN_SLOT && has_chain {
                    ManuallyDrop::drop(&mut content.chain);
                } else if !content.empty.is_null() {
                    ManuallyDrop::drop(&mut content.entry);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Entry;
    use crate::value::entry::Value;

    fn entry(number: i64) -> Entry {
        Entry::new(number.to_string().as_bytes(), Value::Int(number), None)
    }

    #[test]
    fn a_chain_grows_and_shrinks_and_loses_nothing() {
        let mut bucket = Bucket::default();
        for number in 0..40 {
            bucket.insert((number % 3) as u8, number % 2 == 0, entry(number));
        }
        assert_eq!(bucket.places().count(), 40);
        assert_eq!(bucket.volatile_places().count(), 20);
        for number in (0..40).rev() {
            let key = number.to_string();
            let place = bucket.find((number % 3) as u8, key.as_bytes()).expect("it is there");
            assert_eq!(bucket.is_volatile(place), number % 2 == 0);
            assert_eq!(bucket.get(place).key(), key.as_bytes());
            assert_eq!(bucket.remove(place).key(), key.as_bytes());
            assert_eq!(bucket.find((number % 3) as u8, key.as_bytes()), None);
            assert_eq!(bucket.places().count() as i64, number);
        }
        assert!(bucket.chain().is_none(), "an empty chain is freed");
        bucket.insert(1, false, entry(1));
        let mut drained = 0;
        bucket.drain(|_, _, _| drained += 1);
        assert_eq!((drained, bucket.places().count()), (1, 0));
    }

    #[test]
    fn a_dropped_bucket_drops_its_chain() {
        let mut bucket = Bucket::default();
        (0..30).for_each(|number| _ = bucket.insert(0, true, entry(number)));
        let mut other = Bucket::default();
        bucket.drain(|tag, volatile, entry| _ = other.insert(tag, volatile, entry));
        assert_eq!((bucket.places().count(), other.places().count()), (0, 30));
    }
}
