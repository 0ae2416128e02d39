//! TCP segments as they travel over the TUN device, one IP packet each.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice};

/// The hop limit of an ordinary host; the TTL gate tells such packets from its own of 255.
const ORDINARY_TTL: u8 = 64;
const WINDOW: u16 = 65_535;
const MAXIMUM_SEGMENT_SIZE: u16 = 1_400;

/// One TCP segment with its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    /// A segment without flags, acknowledgement or payload.
    pub(crate) fn bare(from: SocketAddr, to: SocketAddr, seq: u32) -> Self {
        Self { from, to, seq, ack: None, syn: false, fin: false, rst: false, payload: Vec::new() }
    }

    /// Reads an IP packet; `None` when it is not TCP.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ip(packet).ok()?;
        let (source, destination): (IpAddr, IpAddr) = match packet.net? {
            NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Arp(_) => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
        Some(Self {
            from: SocketAddr::new(source, tcp.source_port()),
            to: SocketAddr::new(destination, tcp.destination_port()),
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            payload: tcp.payload().to_vec(),
        })
    }

    /// The segment as an IP packet with right checksums.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut header = TcpHeader::new(self.from.port(), self.to.port(), self.seq, WINDOW);
        header.syn = self.syn;
        header.fin = self.fin;
        header.rst = self.rst;
        header.psh = !self.payload.is_empty();
        header.ack = self.ack.is_some();
        header.acknowledgment_number = self.ack.unwrap_or_default();
        if self.syn {
            let option = TcpOptionElement::MaximumSegmentSize(MAXIMUM_SEGMENT_SIZE);
            header.set_options(&[option]).expect("one option fits");
        }
        let builder = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), ORDINARY_TTL),
            (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), ORDINARY_TTL),
            _ => panic!("a segment cannot go from one address family to the other"),
        };
        let mut packet = Vec::new();
        builder.tcp_header(header).write(&mut packet, &self.payload).expect("a vector takes every byte");
        packet
    }

    /// How much of the sequence space the segment takes.
    pub(crate) fn length(&self) -> u32 {
        let payload = u32::try_from(self.payload.len()).expect("a segment is small");
        payload + u32::from(self.syn) + u32::from(self.fin)
    }
}
