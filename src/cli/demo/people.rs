//! Locations, employees and customers.

use super::calendar::{DAY, HOUR, MINUTE, epoch_day};
use super::cell::{Date, Deleted, Instant, Word};
use super::delivery::{Outbox, Source};
use super::draw::Draw;
use super::table::{CustomerRow, EmployeeRow, LocationRow, Size};

pub(super) const LOCATIONS: u64 = PLACES.len() as u64;
/// Each location has so many employees; those with greater numbers work in the warehouse.
pub(super) const STAFF_PER_LOCATION: u64 = 8;
pub(super) const EMPLOYEES: u64 = 240;

/// Orders name this location, which was closed before the first load of `locations`.
pub(super) const LOCATION_NEVER_LOADED: i64 = 97;
/// Orders name this employee, who left before the first load of `employees`.
pub(super) const EMPLOYEE_NEVER_LOADED: i64 = 999;
/// What is added to the number of a customer of the old shop system, never migrated.
pub(super) const CUSTOMER_NEVER_LOADED: i64 = 9_000_000_000;

/// Closed within the range: its orders stay, its row is a tombstone.
pub(super) const LOCATION_CLOSED: u64 = 19;

struct Place(&'static str, &'static str, &'static str, Option<&'static str>);

/// By location number, from 1. Names with umlauts, quotes and a backslash, as people type them.
const PLACES: [Place; 24] = [
    Place("Hörstudio Mitte", "Berlin", "DE", Some("Nordost")),
    Place("Hörstudio \"Am Markt\"", "München", "DE", Some("Süd")),
    Place("O'Brien Optik & Akustik", "Köln", "DE", Some("West")),
    Place("Hörstudio Königsallee", "Düsseldorf", "DE", Some("West")),
    Place("Hörstudio Altona", "Hamburg", "DE", Some("Nord")),
    Place("Hörstudio Römerberg", "Frankfurt am Main", "DE", Some("Mitte")),
    Place("Hörstudio Schloßplatz", "Stuttgart", "DE", Some("Süd")),
    Place("Hörstudio Graben", "Wien", "AT", Some("Österreich")),
    Place("Hörstudio Bahnhofstrasse", "Zürich", "CH", Some("Schweiz")),
    Place("Hörstudio Neustadt", "Dresden", "DE", Some("Nordost")),
    Place("Hörstudio Südvorstadt", "Leipzig", "DE", Some("Nordost")),
    Place("Hörstudio Ägidienmarkt", "Münster", "DE", Some("West")),
    Place("Hörstudio Lübecker Tor", "Lübeck", "DE", Some("Nord")),
    Place("Hörstudio Herrengasse", "Graz", "AT", Some("Österreich")),
    Place("Hörstudio Getreidegasse", "Salzburg", "AT", Some("Österreich")),
    Place("Studio de l'Ouïe", "Genève", "CH", Some("Schweiz")),
    Place("Hörstudio Freie Straße", "Basel", "CH", Some("Schweiz")),
    Place("Hörstudio Weser\\Ems", "Bremen", "DE", Some("Nord")),
    Place("Hörstudio Domplatz", "Würzburg", "DE", Some("Süd")),
    Place("Hörstudio Kröpcke", "Hannover", "DE", Some("Nord")),
    Place("Hörstudio Wöhrder See", "Nürnberg", "DE", Some("Süd")),
    Place("Hörmobil 1", "Göttingen", "DE", None),
    Place("Hörmobil 2", "Tübingen", "DE", None),
    Place("Hörstudio Rüttenscheid", "Essen", "DE", Some("West")),
];

/// Before the range begins: when the first load of the small tables was ingested.
pub(super) fn first_load() -> i64 {
    i64::from(epoch_day(2024, 12, 30)) * DAY + 3 * HOUR
}

pub(super) struct LocationRows {
    draw: Draw,
    next: usize,
}

impl LocationRows {
    pub(super) fn new() -> Self {
        Self { draw: Draw::of_stream(1), next: 0 }
    }

    fn row(&mut self, number: u64, place: &Place) -> LocationRow {
        let Place(name, city, country, region) = *place;
        let format = match self.draw.below(10) {
            0..2 => Some(Word("flagship")),
            2..9 => Some(Word("standard")),
            _ => None,
        };
        let area = self.draw.between(380, 2_950);
        LocationRow {
            location_id: number.cast_signed(),
            location_name: name.to_owned(),
            city: Word(city),
            country: Word(country),
            region: region.map(Word),
            format: if region.is_none() { Some(Word("mobile")) } else { format },
            opened_on: Date(epoch_day(2009, 1, 1) + whole(self.draw.below(5_600))),
            // Tenths of a square metre; the vans have no area.
            area_sqm: region.map(|_| f64::from(whole(area.unsigned_abs())) / 10.0),
            _version: 1,
            _deleted: Deleted(false),
            _ingested_at: Instant(first_load()),
        }
    }
}

impl Source for LocationRows {
    type Row = LocationRow;

    fn next_into(&mut self, outbox: &mut Outbox<LocationRow>) -> bool {
        let Some(place) = PLACES.get(self.next) else { return false };
        self.next += 1;
        let number = self.next as u64;
        let row = self.row(number, place);
        if number == LOCATION_CLOSED {
            let closed = LocationRow {
                _version: 2,
                _deleted: Deleted(true),
                _ingested_at: Instant(first_load() + 260 * DAY),
                ..row.clone()
            };
            outbox.send_versions(&mut self.draw, row, closed);
        } else if number.is_multiple_of(5) {
            // Sales regions were cut anew in the summer of 2025; the old name stays in the old row.
            let old = LocationRow { region: Some(Word("Zentral")), ..row.clone() };
            let new =
                LocationRow { _version: 2, _ingested_at: Instant(first_load() + 183 * DAY), ..row };
            outbox.send_versions(&mut self.draw, old, new);
        } else {
            outbox.send_at_least_once(&mut self.draw, row);
        }
        true
    }
}

const SHOP_TEAMS: [&str; 4] = ["Hörberatung", "Anpassung", "Service", "Kasse"];
const ROLES: [&str; 4] = ["junior", "senior", "lead", "apprentice"];

pub(super) struct EmployeeRows {
    draw: Draw,
    next: u64,
}

impl EmployeeRows {
    pub(super) fn new() -> Self {
        Self { draw: Draw::of_stream(2), next: 0 }
    }

    fn row(&mut self, number: u64) -> EmployeeRow {
        let shop_team = self.draw.pick(&SHOP_TEAMS);
        let hired_on = epoch_day(2012, 1, 1) + whole(self.draw.below(4_700));
        let (left, left_after) = (self.draw.chance(800), whole(self.draw.below(560)));
        let works_in_shop = number <= LOCATIONS * STAFF_PER_LOCATION;
        EmployeeRow {
            employee_id: number.cast_signed(),
            employee_code: format!("E-{number:04}"),
            team: Word(if works_in_shop { shop_team } else { "Lager" }),
            role: Word(self.draw.pick(&ROLES)),
            hired_on: Date(hired_on),
            left_on: left.then_some(Date(epoch_day(2025, 2, 1) + left_after)),
            _version: 1,
            _deleted: Deleted(false),
            _ingested_at: Instant(first_load()),
        }
    }
}

impl Source for EmployeeRows {
    type Row = EmployeeRow;

    fn next_into(&mut self, outbox: &mut Outbox<EmployeeRow>) -> bool {
        if self.next == EMPLOYEES {
            return false;
        }
        self.next += 1;
        let row = self.row(self.next);
        let (moved, day) = (self.draw.chance(1_500), self.draw.between(20, 600));
        if moved {
            let before = EmployeeRow { team: Word("Kasse"), role: Word("junior"), ..row.clone() };
            let now =
                EmployeeRow { _version: 2, _ingested_at: Instant(first_load() + day * DAY), ..row };
            outbox.send_versions(&mut self.draw, before, now);
        } else {
            outbox.send_at_least_once(&mut self.draw, row);
        }
        true
    }
}

const CITIES: [(&str, &str); 16] = [
    ("DE", "Berlin"),
    ("DE", "München"),
    ("DE", "Köln"),
    ("DE", "Düsseldorf"),
    ("DE", "Hamburg"),
    ("DE", "Frankfurt am Main"),
    ("DE", "Münster"),
    ("DE", "Nürnberg"),
    ("DE", "Leipzig"),
    ("AT", "Wien"),
    ("AT", "Graz"),
    ("AT", "Klagenfurt am Wörthersee"),
    ("CH", "Zürich"),
    ("CH", "Genève"),
    ("FR", "L'Haÿ-les-Roses"),
    ("NL", "'s-Hertogenbosch"),
];
const CITY_WEIGHTS: [u64; 16] = [19, 14, 11, 6, 12, 7, 3, 5, 6, 11, 4, 2, 8, 4, 1, 1];
const TIERS: [&str; 3] = ["basic", "silver", "gold"];
const INSURANCES: [Option<&str>; 4] = [Some("statutory"), Some("private"), Some("self-pay"), None];

pub(super) struct CustomerRows {
    draw: Draw,
    customers: u64,
    next: u64,
}

impl CustomerRows {
    pub(super) fn new(size: Size) -> Self {
        Self { draw: Draw::of_stream(3), customers: size.customers, next: 0 }
    }

    fn row(&mut self, number: u64) -> CustomerRow {
        let draw = &mut self.draw;
        let (country, city) = CITIES[draw.weighted(&CITY_WEIGHTS)];
        let (no_country, no_city) = (draw.chance(300), draw.chance(900));
        let age = draw.below(70).max(draw.below(70));
        let (no_birth_year, no_email) = (draw.chance(1_100), draw.chance(1_400));
        let newsletter = match draw.below(10) {
            0..4 => Some(true),
            4..8 => Some(false),
            _ => None,
        };
        let first = i64::from(epoch_day(2022, 1, 1)) * DAY;
        let minute = draw.between(0, 1_764 * 1_440);
        CustomerRow {
            customer_id: number.cast_signed(),
            country: (!no_country).then_some(Word(country)),
            city: (!no_city && !no_country).then_some(Word(city)),
            tier: Word(TIERS[draw.weighted(&[70, 22, 8])]),
            insurance: INSURANCES[draw.weighted(&[62, 21, 9, 8])].map(Word),
            birth_year: (!no_birth_year).then(|| 2006 - whole(age)),
            email: (!no_email).then(|| format!("customer{number}@example.org")),
            newsletter,
            is_staff: draw.chance(60),
            signed_up_at: Instant(first + minute * MINUTE),
            _version: 1,
            _deleted: Deleted(false),
            _ingested_at: Instant((first + minute * MINUTE + MINUTE).max(first_load())),
        }
    }
}

impl Source for CustomerRows {
    type Row = CustomerRow;

    fn next_into(&mut self, outbox: &mut Outbox<CustomerRow>) -> bool {
        if self.next == self.customers {
            return false;
        }
        self.next += 1;
        let row = self.row(self.next);
        let (fate, days) = (self.draw.below(1_000), self.draw.between(1, 60));
        let later = Instant(row._ingested_at.0 + days * DAY);
        match fate {
            // Erased on request: orders keep the number, the customer is gone.
            0..7 => {
                let erased = CustomerRow {
                    email: None,
                    _version: 2,
                    _deleted: Deleted(true),
                    _ingested_at: later,
                    ..row.clone()
                };
                outbox.send_versions(&mut self.draw, row, erased);
            }
            7..190 => {
                let before = CustomerRow { tier: Word("basic"), newsletter: None, ..row.clone() };
                let now = CustomerRow { _version: 2, _ingested_at: later, ..row };
                outbox.send_versions(&mut self.draw, before, now);
            }
            _ => outbox.send_at_least_once(&mut self.draw, row),
        }
        true
    }
}

/// A drawn number, far below the type's end.
pub(super) fn whole(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
