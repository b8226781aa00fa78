//! Names in client certificates, read from real TLS handshakes.

use std::sync::Arc;

use portcullis::config::identity_settings::{Certificates, Identity};
use portcullis::proxy::identify::{Arrival, Identified, IdentityError};
use portcullis::proxy::listen::ClientCertificate;
use portcullis::types::CallerKind;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Gateway, NOW, map};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, params: CertificateParams) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

fn params(name: &[(DnType, &str)], sans: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in name {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.subject_alt_names = sans;
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// What a server learns of a client with such a certificate, by a handshake.
async fn shake_hands(client: CertificateParams) -> ClientCertificate {
    let authority = Authority::new();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (certificate, key) = authority.issue(CertificateParams::new(vec!["gateway.test".to_owned()]).unwrap());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), Arc::clone(&provider));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (certificate, key) = authority.issue(client);
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let (near, far) = tokio::io::duplex(64 << 10);
    let name = "gateway.test".try_into().unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (connected, accepted) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    connected.unwrap();
    let accepted = accepted.unwrap();
    let (_, session) = accepted.get_ref();
    ClientCertificate::read(&session.peer_certificates().unwrap()[0]).unwrap()
}

fn identify(certificates: serde_json::Value, certificate: &ClientCertificate) -> Result<Identified, IdentityError> {
    let certificates: Certificates = serde_json::from_value(certificates).unwrap();
    let gateway = Gateway::new(Identity { require_key: true, certificates, ..Identity::default() });
    let headers = map(&[]);
    let certificate = Some(certificate);
    gateway.arrive(&Arrival { headers: &headers, address: None, is_trusted: false, certificate, now: NOW })
}

#[tokio::test]
async fn a_workload_is_known_by_its_spiffe_id() {
    let certificate = shake_hands(params(&[], vec![uri("spiffe://prod.acme/ns/shop/sa/checkout")])).await;
    assert_eq!(certificate.spiffe.as_deref(), Some("spiffe://prod.acme/ns/shop/sa/checkout"));
    let mapping = json!({"user": "spiffe", "tenant": "spiffe_trust_domain", "trust_domains": ["prod.acme"]});
    let caller = identify(mapping, &certificate).unwrap().caller;
    assert_eq!(caller.kind, CallerKind::Certificate);
    assert_eq!(caller.user.as_deref(), Some("spiffe://prod.acme/ns/shop/sa/checkout"));
    assert_eq!(caller.tenant.as_deref(), Some("prod.acme"));
    let elsewhere = json!({"user": "spiffe", "trust_domains": ["test.acme"]});
    assert_eq!(identify(elsewhere, &certificate).unwrap_err(), IdentityError::TrustDomain);
}

#[tokio::test]
async fn a_person_is_known_by_subject_or_alternative_names() {
    let name = [
        (DnType::CommonName, "alice"),
        (DnType::OrganizationName, "Acme"),
        (DnType::OrganizationalUnitName, "Research"),
    ];
    let sans = vec![
        SanType::DnsName("laptop.acme.test".try_into().unwrap()),
        SanType::DnsName("other.acme.test".try_into().unwrap()),
        SanType::Rfc822Name("alice@acme.test".try_into().unwrap()),
    ];
    let certificate = shake_hands(params(&name, sans)).await;
    let user =
        |user: &str| identify(json!({"user": user}), &certificate).map(|found| found.caller.user.unwrap().to_string());
    assert_eq!(user("default").unwrap(), "CN=alice, O=Acme, OU=Research");
    assert_eq!(user("subject_cn").unwrap(), "alice");
    assert_eq!(user("san_dns").unwrap(), "laptop.acme.test");
    assert_eq!(user("san_email").unwrap(), "alice@acme.test");
    assert_eq!(user("spiffe").unwrap_err(), IdentityError::Missing);
    assert_eq!(user("none").unwrap_err(), IdentityError::Missing);
    let all = json!({"user": "subject_cn", "tenant": "subject_o", "agent": "subject_ou"});
    let caller = identify(all, &certificate).unwrap().caller;
    assert_eq!((caller.tenant.as_deref(), caller.agent.as_deref()), (Some("Acme"), Some("Research")));
}

#[tokio::test]
async fn names_that_could_mean_two_things_are_no_names() {
    let two = vec![uri("spiffe://a.test/x"), uri("spiffe://b.test/x")];
    assert_eq!(shake_hands(params(&[], two)).await.spiffe, None);
    for odd in [
        "spiffe://a.test",
        "spiffe:///x",
        "spiffe://a.test/",
        "spiffe://a.test/../x",
        "spiffe://a.test:80/x",
        "spiffe://u@a.test/x",
        "spiffe://A.test/x",
        "spiffe://a.test/x?y",
        "spiffe://a.test/%41",
        "https://a.test/x",
        "SPIFFE://a.test/x",
    ] {
        let authority = Authority::new();
        let (certificate, _) = authority.issue(params(&[], vec![uri(odd)]));
        assert_eq!(ClientCertificate::read(&certificate).unwrap().spiffe, None, "{odd}");
    }
    let authority = Authority::new();
    let (certificate, _) = authority.issue(params(&[(DnType::CommonName, "a\u{7}b")], Vec::new()));
    assert_eq!(ClientCertificate::read(&certificate).unwrap().common_name, None);
    assert_eq!(ClientCertificate::read(b"no certificate"), None);
}
