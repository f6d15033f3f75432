//! The simulator's catalog keeps the contract of the Store port.

use volsnap_core::ports::Store;
use volsnap_sim::{DiskSpec, Machine, WorldBuilder};
use volsnap_tests::contracts::store;

#[tokio::test]
async fn the_simulated_catalog_keeps_the_contract() {
    store::suite(async || {
        let machine = Machine::start(WorldBuilder::new(DiskSpec::at("/"), "/state").build());
        Box::new(machine.store()) as Box<dyn Store>
    })
    .await;
}
