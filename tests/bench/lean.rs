//! A Modbus TCP server that costs almost nothing: a port for each device, one thread for all.
//! It logs when each cycle reaches the wire, so that every peer is measured by the same clock.
//! It must never answer anything that it did not log.
//!
//! Holding registers of every unit: 0 counts the reads that include it, 1 to 24 follow it,
//! 25 to 99 stand still, 100 is the fault bit. Whatever is beyond is 0.

use anyhow::Result;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep_until;

/// The register whose lowest bit is the fault.
pub(crate) const FAULT_REGISTER: u16 = 100;

const READ_HOLDING: u8 = 3;
const HEAD: usize = 12;

/// The servers of one workload; they end with it.
pub(crate) struct Lean {
    devices: Arc<Vec<Device>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Lean {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What happened to one device.
#[derive(Default)]
struct Device {
    port: u16,
    requests: AtomicU64,
    registers: AtomicU64,
    counter: AtomicU64,
    /// When each read of register 0 (or of the fault register) arrived.
    cycles: Mutex<Vec<Instant>>,
    /// The units with a fault, and when the first answer with it left.
    faults: Mutex<HashMap<u8, Option<Instant>>>,
}

/// What was read in a span of time.
pub(crate) struct Traffic {
    /// Between two cycles of one device, in milliseconds.
    pub(crate) cycles: Vec<f64>,
    /// Registers answered.
    pub(crate) registers: u64,
    /// Requests for each cycle.
    pub(crate) requests_per_cycle: f64,
}

/// The counters at one moment.
pub(crate) struct Mark {
    at: Instant,
    requests: u64,
    registers: u64,
}

impl Lean {
    /// Serves this many devices, each answering after the same time.
    pub(crate) fn start(count: usize, turnaround: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lean")
            .enable_all()
            .build()?;
        let mut devices = Vec::new();
        let mut listeners = Vec::new();
        for _ in 0..count {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
            listener.set_nonblocking(true)?;
            devices.push(Device {
                port: listener.local_addr()?.port(),
                ..Device::default()
            });
            listeners.push(listener);
        }
        let devices = Arc::new(devices);
        let entered = runtime.enter();
        for (index, listener) in listeners.into_iter().enumerate() {
            let listener = TcpListener::from_std(listener)?;
            runtime.spawn(accept(listener, devices.clone(), index, turnaround));
        }
        drop(entered);
        Ok(Self {
            devices,
            runtime: Some(runtime),
        })
    }

    /// The ports, in the order of the devices.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.devices.iter().map(|device| device.port).collect()
    }

    /// Forgets everything that was read.
    pub(crate) fn forget(&self) {
        for device in self.devices.iter() {
            locked(&device.cycles).clear();
            device.counter.store(0, Ordering::Relaxed);
        }
    }

    /// How often register 0 of a device was read: the newest value anybody can know.
    pub(crate) fn counter(&self, device: usize) -> u64 {
        let device = self.devices.get(device);
        device.map_or(0, |device| device.counter.load(Ordering::Relaxed))
    }

    /// When each device was first read; shorter than the devices while some were not.
    pub(crate) fn first_reads(&self) -> Vec<Instant> {
        let devices = self.devices.iter();
        devices
            .filter_map(|device| locked(&device.cycles).first().copied())
            .collect()
    }

    /// The counters now.
    pub(crate) fn mark(&self) -> Mark {
        let sum = |count: fn(&Device) -> &AtomicU64| {
            let counts = self.devices.iter().map(count);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        Mark {
            at: Instant::now(),
            requests: sum(|device| &device.requests),
            registers: sum(|device| &device.registers),
        }
    }

    /// What was read between two moments.
    pub(crate) fn traffic(&self, from: &Mark, to: &Mark) -> Traffic {
        let mut cycles = Vec::new();
        let mut begun = 0_usize;
        for device in self.devices.iter() {
            let all = locked(&device.cycles);
            let within = all.iter().filter(|at| (from.at..to.at).contains(*at));
            let within: Vec<Instant> = within.copied().collect();
            begun += within.len();
            let pairs = within.iter().zip(within.iter().skip(1));
            cycles.extend(pairs.map(|(one, next)| (*next - *one).as_secs_f64() * 1000.0));
        }
        Traffic {
            cycles,
            registers: to.registers - from.registers,
            requests_per_cycle: (to.requests - from.requests) as f64 / begun as f64,
        }
    }

    /// Sets the fault bit of one unit of a device.
    pub(crate) fn raise(&self, device: usize, unit: u8) {
        if let Some(device) = self.devices.get(device) {
            locked(&device.faults).insert(unit, None);
        }
    }

    /// When the first answer with the fault bit left.
    pub(crate) fn answered(&self, device: usize, unit: u8) -> Option<Instant> {
        let faults = locked(&self.devices.get(device)?.faults);
        faults.get(&unit).copied().flatten()
    }
}

async fn accept(
    listener: TcpListener,
    devices: Arc<Vec<Device>>,
    index: usize,
    turnaround: Duration,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let devices = devices.clone();
        tokio::spawn(async move {
            if let Some(device) = devices.get(index) {
                // A peer that goes away ends its connection, which is no fault of the server.
                drop(serve(stream, device, turnaround).await);
            }
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    device: &Device,
    turnaround: Duration,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0_u8; HEAD];
    let mut answer = Vec::with_capacity(300);
    loop {
        stream.read_exact(&mut head).await?;
        let arrived = Instant::now();
        let [tx_high, tx_low, _, _, _, _, unit, function, rest @ ..] = head;
        let [first_high, first_low, _, count] = rest;
        let first = u16::from_be_bytes([first_high, first_low]);
        device.requests.fetch_add(1, Ordering::Relaxed);
        answer.clear();
        answer.extend([tx_high, tx_low, 0, 0]);
        if function != READ_HOLDING || count > 125 {
            answer.extend([0, 3, unit, function | 0x80, 1]);
            stream.write_all(&answer).await?;
            continue;
        }
        let with_fault = device.registers(first, count, unit, arrived, &mut answer);
        if !turnaround.is_zero() {
            sleep_until((arrived + turnaround).into()).await;
        }
        if with_fault {
            let mut faults = locked(&device.faults);
            faults.insert(unit, Some(Instant::now()));
        }
        stream.write_all(&answer).await?;
    }
}

impl Device {
    /// Adds the rest of an answer; says whether it is the first one with this unit's fault.
    fn registers(
        &self,
        first: u16,
        count: u8,
        unit: u8,
        at: Instant,
        answer: &mut Vec<u8>,
    ) -> bool {
        if first == 0 || first == FAULT_REGISTER {
            locked(&self.cycles).push(at);
            self.counter.fetch_add(1, Ordering::Relaxed);
        }
        self.registers
            .fetch_add(u64::from(count), Ordering::Relaxed);
        let fault = locked(&self.faults).get(&unit).copied();
        let counter = self.counter.load(Ordering::Relaxed) as u16;
        let length = 3 + 2 * u16::from(count);
        answer.extend(length.to_be_bytes());
        answer.extend([unit, READ_HOLDING, count.wrapping_mul(2)]);
        for register in first..first.saturating_add(u16::from(count)) {
            let value = match register {
                0..25 => counter.wrapping_add(register),
                25..FAULT_REGISTER => 1000 + register,
                FAULT_REGISTER => u16::from(fault.is_some()),
                _ => 0,
            };
            answer.extend(value.to_be_bytes());
        }
        let read =
            first <= FAULT_REGISTER && first.saturating_add(u16::from(count)) > FAULT_REGISTER;
        read && fault == Some(None)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
