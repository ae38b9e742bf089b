//! The shapes of a search: a circle, a box or a polygon.

use super::cell::{Cell, FINEST};
use super::{Area, DEGREE, EARTH_RADIUS, INDEXED, Position};

/// Lengths are in metres.
#[derive(Clone, Debug)]
pub enum Shape {
    Circle {
        center: Position,
        radius: f64,
    },
    /// Its edges are `width` and `height` long where they are measured: through the center.
    Box {
        center: Position,
        width: f64,
        height: f64,
    },
    Polygon {
        center: Position,
        vertices: Vec<Position>,
    },
}

/// Half of the equator in the Mercator projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

impl Shape {
    /// A polygon, whose distances are measured from the mean of its vertices.
    pub fn polygon(vertices: Vec<Position>) -> Shape {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for vertex in &vertices {
            let (longitude, latitude) = (vertex.longitude * DEGREE, vertex.latitude * DEGREE);
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        let count = vertices.len() as f64;
        let (x, y, z) = (x / count, y / count, z / count);
        let center = Position {
            longitude: y.atan2(x) / DEGREE,
            latitude: z.atan2((x * x + y * y).sqrt()) / DEGREE,
        };
        Shape::Polygon { center, vertices }
    }

    fn center(&self) -> Position {
        match self {
            Shape::Circle { center, .. }
            | Shape::Box { center, .. }
            | Shape::Polygon { center, .. } => *center,
        }
    }

    /// Metres from the center to a position; `None` if that is outside.
    pub fn distance(&self, position: Position) -> Option<f64> {
        let distance = self.center().distance(position);
        let is_inside = match self {
            Shape::Circle { radius, .. } => distance <= *radius,
            Shape::Box { center, width, height } => {
                let same_latitude = Position { longitude: center.longitude, ..position };
                position.distance_north(center.latitude) <= height / 2.0
                    && position.distance(same_latitude) <= width / 2.0
            }
            Shape::Polygon { vertices, .. } => is_inside(vertices, position),
        };
        is_inside.then_some(distance)
    }

    /// The bounding box of the shape.
    fn bounds(&self) -> Area {
        let (half_width, half_height) = match self {
            Shape::Circle { radius, .. } => (*radius, *radius),
            Shape::Box { width, height, .. } => (width / 2.0, height / 2.0),
            Shape::Polygon { vertices, .. } => return bounds_of(vertices),
        };
        let Position { longitude, latitude } = self.center();
        let north = half_height / EARTH_RADIUS / DEGREE;
        // The edge that is nearer to the pole spans more degrees.
        let outer = if latitude < 0.0 { latitude - north } else { latitude + north };
        let east = half_width / EARTH_RADIUS / (outer * DEGREE).cos() / DEGREE;
        Area {
            west: longitude - east,
            east: longitude + east,
            south: latitude - north,
            north: latitude + north,
        }
    }

    /// The greatest distance from the center, approximately: for a polygon, that of the corners of its
    /// bounding box.
    fn reach(&self, bounds: &Area) -> f64 {
        match self {
            Shape::Circle { radius, .. } => *radius,
            Shape::Box { width, height, .. } => {
                ((width / 2.0).powi(2) + (height / 2.0).powi(2)).sqrt()
            }
            Shape::Polygon { center, .. } => {
                let Area { west, east, south, north } = *bounds;
                let corners = [(west, south), (west, north), (east, south), (east, north)];
                let distances = corners
                    .map(|(longitude, latitude)| center.distance(Position { longitude, latitude }));
                distances.into_iter().fold(0.0, f64::max)
            }
        }
    }

    /// The cells that together cover the shape: that of its center first, then those to the north,
    /// south, east and west, and those at the corners. Positions are replied in this order.
    ///
    /// There are none around a center that cannot be indexed, such as that of a polygon around half of
    /// the earth, whose vertices have a pole for their mean: Valkey finds nothing there.
    pub fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let center = self.center();
        if !INDEXED.contains(center) {
            return Vec::new();
        }
        let mut step = step_for(self.reach(&bounds), center.latitude);
        let mut middle = Cell::of(center, step);
        let falls_short = |middle: Cell| {
            middle.neighbor(0, 1).area().north < bounds.north
                || middle.neighbor(0, -1).area().south > bounds.south
                || middle.neighbor(1, 0).area().east < bounds.east
                || middle.neighbor(-1, 0).area().west > bounds.west
        };
        if step > 1 && falls_short(middle) {
            step -= 1;
            middle = Cell::of(center, step);
        }
        let area = middle.area();
        let is_needed = |(east, north): &(i32, i32)| {
            // A coarse cell's neighbors may be the same ones on both sides.
            step < 2
                || !((*north < 0 && area.south < bounds.south)
                    || (*north > 0 && area.north > bounds.north)
                    || (*east < 0 && area.west < bounds.west)
                    || (*east > 0 && area.east > bounds.east))
        };
        const ORDER: [(i32, i32); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells: Vec<Cell> = ORDER
            .iter()
            .filter(|offset| is_needed(offset))
            .map(|(east, north)| middle.neighbor(*east, *north))
            .collect();
        cells.dedup();
        cells
    }
}

/// The step of cells three of which span a circle.
fn step_for(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return FINEST;
    }
    let mut step = 1i32;
    let mut span = radius;
    while span < MERCATOR_MAX {
        span *= 2.0;
        step += 1;
    }
    // So that the circle is inside even if its center is at an edge of its cell.
    step -= 2;
    // Cells are narrower toward the poles.
    if latitude.abs() > 66.0 {
        step -= 1;
    }
    if latitude.abs() > 80.0 {
        step -= 1;
    }
    step.clamp(1, FINEST as i32) as u32
}

fn bounds_of(vertices: &[Position]) -> Area {
    let longitudes = || vertices.iter().map(|vertex| vertex.longitude);
    let latitudes = || vertices.iter().map(|vertex| vertex.latitude);
    Area {
        west: longitudes().fold(f64::INFINITY, f64::min),
        east: longitudes().fold(f64::NEG_INFINITY, f64::max),
        south: latitudes().fold(f64::INFINITY, f64::min),
        north: latitudes().fold(f64::NEG_INFINITY, f64::max),
    }
}

/// Whether a line from the position to the east crosses an odd number of the polygon's edges.
fn is_inside(vertices: &[Position], at: Position) -> bool {
    let mut is_inside = false;
    let mut previous = vertices.last();
    for vertex in vertices {
        if let Some(other) = previous
            && (vertex.latitude > at.latitude) != (other.latitude > at.latitude)
            && at.longitude
                < (other.longitude - vertex.longitude) * (at.latitude - vertex.latitude)
                    / (other.latitude - vertex.latitude)
                    + vertex.longitude
        {
            is_inside = !is_inside;
        }
        previous = Some(vertex);
    }
    is_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(longitude: f64, latitude: f64) -> Position {
        Position { longitude, latitude }
    }

    /// Every position of a grid that is inside a shape is in one of its cells.
    #[test]
    fn the_cells_of_a_shape_cover_it() {
        for center in
            [at(0.0, 0.0), at(13.4, 52.5), at(-70.0, -33.0), at(100.0, 70.0), at(20.0, -82.0)]
        {
            for size in [10.0, 5_000.0, 400_000.0, 2_000_000.0] {
                let square = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
                let degrees = size / 1_000_000.0;
                let vertices = square.map(|(east, north)| {
                    at(center.longitude + degrees * east, center.latitude + degrees * north)
                });
                for shape in [
                    Shape::Circle { center, radius: size },
                    Shape::Box { center, width: size, height: size / 3.0 },
                    Shape::polygon(vertices.to_vec()),
                ] {
                    let cells = shape.cells();
                    let bounds = shape.bounds();
                    for column in 0..=20 {
                        for row in 0..=20 {
                            let position = at(
                                bounds.west
                                    + (bounds.east - bounds.west) * f64::from(column) / 20.0,
                                bounds.south
                                    + (bounds.north - bounds.south) * f64::from(row) / 20.0,
                            );
                            if !INDEXED.contains(position) {
                                continue;
                            }
                            let score = position.score();
                            let is_found = cells.iter().any(|cell| cell.scores().contains(&score));
                            let is_inside = shape.distance(Position::of_score(score)).is_some();
                            assert!(is_found || !is_inside, "{shape:?} {position:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_polygon_whose_middle_is_a_pole_has_no_cells() {
        let band = |west, east| {
            Shape::polygon(vec![at(west, 35.0), at(east, 35.0), at(east, 40.0), at(west, 40.0)])
        };
        assert!(band(-100.0, 80.0).cells().is_empty());
        assert!(band(-88.0, 88.0).cells().is_empty());
        assert!(!band(-80.0, 75.0).cells().is_empty());
    }

    #[test]
    fn a_polygon_is_the_area_that_its_edges_enclose() {
        let shape = Shape::polygon(vec![
            at(0.0, 0.0),
            at(10.0, 0.0),
            at(10.0, 10.0),
            at(5.0, 2.0),
            at(0.0, 10.0),
        ]);
        for (longitude, latitude, is_inside) in [
            (1.0, 1.0, true),
            (5.0, 1.0, true),
            (5.0, 3.0, false),
            (9.0, 8.0, true),
            (11.0, 5.0, false),
        ] {
            assert_eq!(shape.distance(at(longitude, latitude)).is_some(), is_inside);
        }
    }
}
