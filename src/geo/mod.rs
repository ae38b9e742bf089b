//! Positions on the earth, as sorted sets keep them: a position is a cell of a grid, whose number is
//! the score, so that positions that are close together are mostly close together in the sorted set.
//!
//! Formulas and constants are those that clients know from Valkey's replies: a sphere, the haversine
//! distance, and the latitudes of the Mercator square.

mod cell;
mod shape;

pub use cell::{Cell, FINEST};
pub use shape::Shape;

/// Metres.
const EARTH_RADIUS: f64 = 6_372_797.560_856;

/// A degree in radians.
const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// Degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub longitude: f64,
    pub latitude: f64,
}

/// From one longitude and latitude to another, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub west: f64,
    pub east: f64,
    pub south: f64,
    pub north: f64,
}

/// The area that can be indexed: the square of the Mercator projection.
pub const INDEXED: Area =
    Area { west: -180.0, east: 180.0, south: -85.051_128_78, north: 85.051_128_78 };

/// The whole earth, which the textual geohash divides.
const EARTH: Area = Area { west: -180.0, east: 180.0, south: -90.0, north: 90.0 };

impl Area {
    pub fn contains(&self, position: Position) -> bool {
        (self.west..=self.east).contains(&position.longitude)
            && (self.south..=self.north).contains(&position.latitude)
    }
}

impl Position {
    /// The position that a score stands for: the middle of its cell.
    pub fn of_score(score: f64) -> Position {
        Cell { bits: bits_of(score), step: FINEST }.middle()
    }

    /// The score that stands for the position.
    pub fn score(self) -> f64 {
        Cell::of(self, FINEST).bits as f64
    }

    /// Metres to another position.
    pub fn distance(self, other: Position) -> f64 {
        let half = |a: f64, b: f64| ((b * DEGREE - a * DEGREE) / 2.0).sin();
        let v = half(self.longitude, other.longitude);
        if v == 0.0 {
            return self.distance_north(other.latitude);
        }
        let u = half(self.latitude, other.latitude);
        let cosines = (self.latitude * DEGREE).cos() * (other.latitude * DEGREE).cos();
        2.0 * EARTH_RADIUS * (u * u + cosines * v * v).sqrt().asin()
    }

    /// Metres to another latitude, along a meridian.
    fn distance_north(self, latitude: f64) -> f64 {
        EARTH_RADIUS * (latitude * DEGREE - self.latitude * DEGREE).abs()
    }

    /// The standard geohash, as far as a score is precise: its last character carries no information.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = cell::encode(self, EARTH, FINEST);
        let mut text = [b'0'; 11];
        for (index, character) in text[..10].iter_mut().enumerate() {
            *character = ALPHABET[(bits >> (52 - 5 * (index + 1)) & 31) as usize];
        }
        text
    }
}

/// A score's integer, as a processor of the x86 family converts it where it does not fit: not every
/// score is a position's.
fn bits_of(score: f64) -> u64 {
    const LIMIT: f64 = (1u64 << 63) as f64;
    let signed = |number: f64| {
        if (-LIMIT..LIMIT).contains(&number) { number as i64 as u64 } else { 1 << 63 }
    };
    if score < LIMIT { signed(score) } else { signed(score - LIMIT) ^ 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Position = Position { longitude: 13.361389, latitude: 38.115556 };
    const CATANIA: Position = Position { longitude: 15.087269, latitude: 37.502669 };

    /// Replies of Valkey 9.1.2.
    #[test]
    fn positions_become_valkeys_scores_and_come_back() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698.0);
        let stored = Position::of_score(PALERMO.score());
        assert_eq!(format!("{:.17}", stored.longitude), "13.36138933897018433");
        assert_eq!(format!("{:.17}", stored.latitude), "38.11555639549629859");
        assert_eq!(&stored.geohash(), b"sqc8b49rny0");
        let catania = Position::of_score(CATANIA.score());
        assert_eq!(format!("{:.4}", stored.distance(catania)), "166274.1516");
    }

    /// Replies of Valkey 9.1.2.
    #[test]
    fn scores_that_are_no_positions_decode_as_in_valkey() {
        let most = Position { longitude: 180.0, latitude: 85.05112878 };
        for (score, geohash) in [
            (-1.0, b"bp05b5048p0"),
            (f64::INFINITY, b"00bh0hbj200"),
            (1.5, b"00bh0hbj210"),
            (f64::NEG_INFINITY, b"00bh0hbj200"),
            (1e19, b"bp05b5048p0"),
            (9_223_372_036_854_775_807.0, b"00bh0hbj200"),
            (most.score(), b"bp05b5048p0"),
        ] {
            assert_eq!(&Position::of_score(score).geohash(), geohash, "{score}");
        }
    }
}
