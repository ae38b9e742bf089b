//! Searches in polygons of any form find Valkey's members, in Valkey's order.

mod common;

use common::{Client, Server};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A polygon with vertices around a place, or anywhere.
fn polygon(random: &mut StdRng) -> Vec<String> {
    let anywhere = random.random_bool(0.5);
    let (east, north) = (random.random_range(-150.0..150.0), random.random_range(-60.0..60.0));
    let size: f64 = [0.5, 4.0, 25.0][random.random_range(0..3)];
    let count = random.random_range(3..6);
    let mut words = vec![count.to_string()];
    for _ in 0..count {
        let (longitude, latitude) = if anywhere {
            (random.random_range(-180.0..180.0), random.random_range(-85.0..85.0))
        } else {
            (east + random.random_range(-size..size), north + random.random_range(-size..size))
        };
        words.extend([longitude, latitude].map(|degrees: f64| degrees.to_string()));
    }
    words
}

#[test]
fn polygons_of_any_form_find_what_the_oracle_finds() {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let mut clients: [Client; 2] = [ours.connect(), oracle.connect()];
    let mut random = StdRng::seed_from_u64(5);
    for batch in 0..20 {
        let mut words = vec!["GEOADD".to_owned(), "places".to_owned()];
        for number in 0..250 {
            let longitude: f64 = random.random_range(-180.0..180.0);
            let latitude: f64 = random.random_range(-85.0..85.0);
            words.extend([
                longitude.to_string(),
                latitude.to_string(),
                format!("{batch}:{number}"),
            ]);
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.command(&words).integer(), 250));
    }
    let mut found = 0;
    for _ in 0..400 {
        let mut words: Vec<String> =
            ["GEOSEARCH", "places", "BYPOLYGON"].map(str::to_owned).to_vec();
        words.extend(polygon(&mut random));
        words.push("WITHHASH".to_owned());
        let [ours, oracle] = clients.each_mut().map(|client| client.command(&words));
        assert!(ours == oracle, "{}: {ours}\nbut {oracle}", words.join(" "));
        found += usize::from(!ours.elements().is_empty());
    }
    assert!(found > 200, "most polygons have places in them: {found}");
    // A band around half of the earth, whose vertices have a pole for their mean.
    for [west, east] in [[-100, 80], [-88, 88], [-80, 75]] {
        let words =
            format!("GEOSEARCH places BYPOLYGON 4 {west} 35 {east} 35 {east} 40 {west} 40 COUNT 5");
        let [ours, oracle] = clients.each_mut().map(|client| client.run(&words));
        assert_eq!(ours, oracle, "{words}");
        assert_eq!(ours.elements().is_empty(), east > 75, "{words}");
    }
}
