"""What carts export: every format gives the trace within its step, the exact age, and what the cart wrote."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

import carts
from auricle.age import Age
from auricle.errors import ReadError
from auricle.io import read
from auricle.leads import STANDARD
from auricle.recording import Recording, make_recording
from fakes import heart

COUNTS = np.rint(heart(5000) * 200)[:12].astype(int)
EIGHT = COUNTS[[STANDARD.index(lead) for lead in carts.EIGHT]]
# Codes of the twelve leads in SCP-ECG; those of MFER are the same in other places.
SCP_CODES = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
ISHNE_CODES = (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)


def dicom(path: Path, counts: np.ndarray, skew: float = 0.0, padding: int | None = None) -> Path:
    """A general ECG with a median beat before the rhythm and a unit of millivolts."""
    pydicom = pytest.importorskip("pydicom", reason="needs the extra io")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def coded(value: str, scheme: str, meaning: str) -> Sequence:
        one = Dataset()
        one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = value, scheme, meaning
        return Sequence([one])

    def group(rows: np.ndarray, originality: str) -> Dataset:
        made = Dataset()
        made.WaveformOriginality, made.SamplingFrequency = originality, 500
        made.NumberOfWaveformChannels, made.NumberOfWaveformSamples = len(rows), rows.shape[1]
        made.WaveformBitsAllocated, made.WaveformSampleInterpretation = 16, "SS"
        made.WaveformData = rows.T.astype("<i2").tobytes()
        if padding is not None:
            made.WaveformPaddingValue = struct.pack("<h", padding)
        channels = []
        for number, lead in enumerate(STANDARD):
            channel = Dataset()
            channel.ChannelSourceSequence = coded(
                "x", "MDC", f"Lead {lead} (Einthoven)" if lead == "I" else f"Lead {lead}"
            )
            channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "0.0025", "2"
            channel.ChannelBaseline, channel.WaveformBitsStored = "0", 16
            channel.ChannelSensitivityUnitsSequence = coded("mV", "UCUM", "millivolt")
            channel.ChannelSampleSkew = str(skew * number)
            channel.FilterLowFrequency, channel.FilterHighFrequency = "0.05", "150"
            channels.append(channel)
        made.ChannelDefinitionSequence = Sequence(channels)
        return made

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.2"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientID, data.PatientSex, data.PatientAge, data.PatientBirthDate = "P7", "F", "003D", "20240303"
    data.AcquisitionDateTime = "20240306142005"
    note = Dataset()
    note.ConceptNameCodeSequence = coded("5.13.5-9", "SCPECG", "QRS Duration")
    note.MeasurementUnitsCodeSequence, note.NumericValue = coded("ms", "UCUM", "ms"), "56"
    said = Dataset()
    said.UnformattedTextValue = "Normal sinus rhythm"
    data.WaveformAnnotationSequence = Sequence([note, said])
    data.WaveformSequence = Sequence([group(counts[:, :600] * 0, "DERIVED"), group(counts, "ORIGINAL")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


# Of each format: its writer, microvolts a step, the band it says, whether it says QRS and a statement.
MADE = {
    "muse": (lambda path: carts.muse(path, EIGHT), 4.88, (0.05, 150), True, True),
    "cardiosoft": (lambda path: carts.cardiosoft(path, COUNTS, STANDARD), 4.88, (0.0, 150), True, True),
    "schiller": (lambda path: carts.schiller(path, COUNTS, STANDARD), 5, None, False, False),
    "aecg": (lambda path: carts.aecg(path, COUNTS, STANDARD), 5, (0.05, 150), True, True),
    "dicom": (lambda path: dicom(path, COUNTS), 5, (0.05, 150), True, True),
    "scp": (lambda path: carts.scp(path, COUNTS, SCP_CODES), 5, (0.05, 150), True, False),
    "mfer": (lambda path: carts.mfer(path, COUNTS, SCP_CODES), 5, (0.05, 150), False, False),
    "ishne": (lambda path: carts.ishne(path, COUNTS, ISHNE_CODES, rate_hz=500), 5, None, False, False),
    "edf": (lambda path: carts.edf(path, COUNTS, [f"ECG {lead}" for lead in STANDARD], rate_hz=500), 20_000 / 65_535,
            (0.05, 150), False, False),
}  # fmt: skip


@pytest.fixture(params=sorted(MADE))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    name = str(request.param)
    return name, MADE[name][0](tmp_path / f"r.{name}")


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_every_format_gives_the_trace_the_age_and_what_the_cart_wrote(made: tuple[str, Path]) -> None:
    name, path = made
    _, step_uv, band, says_qrs, says_statement = MADE[name]
    recording = read(path)
    assert recording.leads == STANDARD
    assert recording.rate_hz == 500
    chest = recording.signal[6:]
    # EDF's steps are centred: half of one lies between its limits.
    assert np.abs(chest - COUNTS[6:] * step_uv / 1000).max() <= max(step_uv / 1000, 1e-6)
    assert recording.age is not None
    assert 2 <= recording.age.days <= 3
    assert recording.age.resolution_days == 1
    assert recording.sex == "F"
    assert recording.patient_id == "P7"
    assert recording.cart_band_hz == band
    assert (recording.measurements.get("qrs_ms") == 56) is says_qrs
    assert ("Normal sinus rhythm" in (recording.report or "")) is says_statement


def test_four_limb_leads_follow_where_muse_has_two(tmp_path: Path) -> None:
    recording = read(carts.muse(tmp_path / "m.xml", EIGHT))
    rows = dict(zip(recording.leads, recording.signal, strict=True))
    assert np.allclose(rows["III"], rows["II"] - rows["I"], atol=1e-6)
    assert np.allclose(rows["aVR"], -(rows["I"] + rows["II"]) / 2, atol=1e-6)
    assert recording.report == "Normal sinus rhythm\nRight ventricular hypertrophy"
    assert recording.measurements == {"heart_rate": 150, "pr_ms": 98, "qrs_ms": 56, "qt_ms": 262, "qrs_axis_deg": 135}


@pytest.mark.parametrize("rate", [250, 500])
def test_muse_is_read_at_its_own_rate(tmp_path: Path, rate: int) -> None:
    assert read(carts.muse(tmp_path / "m.xml", EIGHT, rate_hz=rate)).rate_hz == rate


@pytest.mark.parametrize(
    ("age", "unit", "born", "expected"),
    [
        ("7", "MONTHS", "", "7 mo"),  # never floored to whole years
        ("6", "HOURS", "", "0.25 d"),
        ("0", "YEARS", "03-03-2024", "2.6 d"),  # stated coarsely and by dates: the dates
        ("1", "YEARS", "08-01-2023", "7 mo"),  # rounded up, and the dates know better
        ("65", "YEARS", "", "65 yr"),
        ("", "YEARS", "", None),
        ("46", "YEARS", "05-08-1950", None),  # they contradict each other
        ("3", "YEARS", "01-01-1900", "3 yr"),  # a placeholder is no date of birth
        ("", "YEARS", "03-07-2024", None),  # recorded before birth
    ],
)
@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_an_age_is_as_exact_as_the_file(tmp_path: Path, age: str, unit: str, born: str, expected: str | None) -> None:
    recording = read(carts.muse(tmp_path / "m.xml", EIGHT, age=age, unit=unit, born=born))
    assert (str(recording.age) if recording.age else None) == expected


def test_what_the_caller_knows_goes_before_the_file(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the age given"):
        recording = read(carts.muse(tmp_path / "m.xml", EIGHT), age=Age("5yr"), sex="F", record_id="x")
    assert str(recording.age) == "5 yr"
    assert recording.record_id == "x"


def test_an_age_of_scp_keeps_its_unit(tmp_path: Path) -> None:
    path = carts.scp(tmp_path / "a.scp", COUNTS, SCP_CODES, age=(5, 2))
    with pytest.warns(UserWarning, match="contradict each other"):
        assert read(path).age is None  # five months, and three days by its dates


def test_channels_that_are_sampled_late_are_put_in_time(tmp_path: Path) -> None:
    smooth = np.rint(np.sin(np.arange(5000) / 40) * 400)
    late = np.stack([np.rint(np.sin((np.arange(5000) + 0.5 * n) / 40) * 400) for n in range(12)]).astype(int)
    with pytest.warns(UserWarning, match="contradict"):  # limb leads that are all the same
        recording = read(dicom(tmp_path / "d.dcm", late, skew=0.5))
    inner = slice(20, -20)
    assert np.abs(recording.signal[recording.leads.index("V6"), inner] - smooth[inner] * 0.005).max() < 0.006


def test_padding_is_missing_and_zeros_of_one_lead_are_not(tmp_path: Path) -> None:
    counts = COUNTS.copy()
    counts[:, 4800:] = 0
    counts[7, 100] = 0
    recording = read(dicom(tmp_path / "d.dcm", counts, padding=0))
    assert np.isnan(recording.signal[:, 4800:]).all()
    assert recording.signal[7, 100] == 0


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_a_slow_channel_beside_the_leads_is_named_and_left_out(tmp_path: Path) -> None:
    recording = read(carts.edf(tmp_path / "e.edf", COUNTS, [f"ECG {lead}" for lead in STANDARD], rate_hz=500))
    assert any("Resp" in note for note in recording.notes)
    assert recording.seconds == 10


def test_a_calibration_pulse_is_no_beat(tmp_path: Path) -> None:
    pulse = np.zeros((12, 200), dtype=int)
    pulse[:, 60:160] = 200
    with pytest.warns(UserWarning, match="calibration pulse"):
        recording = read(carts.cardiosoft(tmp_path / "c.xml", np.hstack([COUNTS, pulse]), STANDARD, microvolts="5"))
    assert recording.signal.shape[1] == 5000
    assert recording.amplitude_known
    alone = make_recording(np.tile(heart(1000)[1], (3, 1)), 500, ["V1", "V2", "V3"], "r")
    assert alone.signal.shape[1] == 1000  # leads that are equal and no pulse


def test_one_file_holds_one_person(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="several persons; export a file for each"):
        read(carts.aecg(tmp_path / "a.xml", COUNTS, STANDARD, persons=2))
    other = "<PatientDemographics><PatientID>P8</PatientID></PatientDemographics>"
    with pytest.raises(ReadError, match="several persons"):
        read(carts.muse(tmp_path / "m.xml", EIGHT, extra=other))


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    path = tmp_path / "b.xml"
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE RestingECG [<!ENTITY a0 "x">{bomb}]><RestingECG>&a12;</RestingECG>'
    )
    with pytest.raises(ReadError, match="declares entities"):
        read(path)
    path.write_text('<!DOCTYPE RestingECG [<!ENTITY a SYSTEM "file:///etc/passwd">]><RestingECG>&a;</RestingECG>')
    with pytest.raises(ReadError, match="declares entities"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "gb18030", "latin-1"])
def test_xml_is_read_in_the_encodings_of_carts(tmp_path: Path, encoding: str) -> None:
    path = carts.cardiosoft(tmp_path / "c.xml", COUNTS, STANDARD)
    text = path.read_text(encoding="latin-1").replace(
        "Normal sinus rhythm", "Normal (é)" if "gb" not in encoding else "窦性心律"
    )
    declared = {"utf-16": "UTF-16", "utf-8-sig": "utf-8", "gb18030": "GB2312", "latin-1": "ISO-8859-1"}[encoding]
    path.write_bytes(text.replace("ISO-8859-1", declared).encode(encoding))
    assert read(path).report == ("Normal (é)" if "gb" not in encoding else "窦性心律")


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_a_file_that_ends_early_is_refused_or_shorter_and_never_a_crash(made: tuple[str, Path]) -> None:
    name, path = made
    content, full = path.read_bytes(), read(path)
    for part in range(1, 21):
        path.write_bytes(content[: len(content) * part // 21])
        if name in {"ishne", "edf"} and (got := or_error(path)) is not None:
            assert got.signal.shape[1] < full.signal.shape[1]  # a stream of samples is as long as it is
            continue
        with pytest.raises(ReadError, match=rf"^[^\n]*{path.name}[^\n]*$"):
            read(path)


def or_error(path: Path) -> Recording | None:
    try:
        return read(path)
    except ReadError:
        return None


def test_a_holter_that_ends_within_its_header_is_refused_and_a_shorter_one_says_so(tmp_path: Path) -> None:
    path = carts.ishne(tmp_path / "h.ecg", COUNTS, ISHNE_CODES, rate_hz=500)
    content = path.read_bytes()
    path.write_bytes(content[:300])
    with pytest.raises(ReadError, match="ends within its header"):
        read(path)
    path.write_bytes(content[:60_000])
    with pytest.warns(UserWarning, match="fewer samples than its header announces"):
        assert read(path).signal.shape[1] == (60_000 - 522 - 19) // 24


def test_a_file_that_is_written_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auricle.io import muse

    path, true_read = carts.muse(tmp_path / "m.xml", EIGHT), muse.read

    def slow(file: Path, **context: object) -> Recording:
        recording = true_read(file, **context)
        file.write_text(file.read_text() + "\n")
        return recording

    monkeypatch.setattr(muse, "read", slow)
    with pytest.raises(ReadError, match="changed while it was read"):
        read(path)


@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        (b"PK\3\4" + b"\0" * 600, "a ZIP archive", "unpack it"),
        (b"\x1f\x8b" + b"\0" * 600, "a gzip archive", "unpack it"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "a tar archive", "unpack it"),
        (b"ANN  1.0" + b"\0" * 600, "the annotations of an ISHNE Holter", "give its recording"),
        (b"MSH|^~\\&|", "an HL7 message", "the document that it carries"),
        (b"<?xml version='1.0'?><!-- x --><sapphire><a/></sapphire>", r"XML of another kind \(sapphire\)", "HL7 aECG"),
        (b"<svg xmlns='x'></svg>", "an SVG drawing", "PNG"),
    ],
)
def test_what_is_not_read_says_what_it_is_and_what_to_do(
    tmp_path: Path, content: bytes, kind: str, remedy: str
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=f"is {kind}, which is not read; .*{remedy}"):
        read(path)


def test_a_dicom_image_is_told(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs the extra io")
    data = pydicom.dcmread(dicom(tmp_path / "d.dcm", COUNTS))
    del data.WaveformSequence
    data.add_new(0x7FE00010, "OW", b"\0" * 8)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.save_as(tmp_path / "i.dcm")
    with pytest.raises(ReadError, match="is a DICOM image"):
        read(tmp_path / "i.dcm")


VENDOR = ("Example.xml", "fda_subject1_0.xml", "Example.scp", "Example.dcm")


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_one_record_is_the_same_through_three_formats(real_data: Path) -> None:
    first, *others = (read(real_data / "vendor" / name) for name in VENDOR)
    for other in others:
        assert other.leads == first.leads
        assert np.abs(other.signal - first.signal).max() < 1e-6
        assert other.measurements["qrs_ms"] == first.measurements["qrs_ms"] == 120
        assert other.measurements["qt_ms"] == 420


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_real_carts_are_read_with_all_they_say(real_data: Path) -> None:
    folder = real_data / "vendor"
    philips = read(folder / "129DYPRG.XML")
    assert philips.amplitude_known  # the calibration pulse had made every largest value one
    assert philips.report is not None
    assert philips.report.startswith("Sinus bradycardia")
    assert (philips.sex, str(philips.age)) == ("M", "50 yr")
    assert str(read(folder / "2020-5-18_15-48-11.xml").age) == "69.4 yr"
    dicom_record = read(folder / "anonymous_ecg.dcm")
    assert dicom_record.rate_hz == 1000
    assert dicom_record.cart_band_hz == (0.05, 300)
    assert dicom_record.measurements["qrs_ms"] == 75
    assert "ECG NORMALE" in (dicom_record.report or "")
    assert read(folder / "test_ecg.dcm").measurements == {"heart_rate": 69}
    for name, why in (("invalid-doc-version.xml", "version '1.05'"), ("62.SCP", "damaged as SCP-ECG")):
        with pytest.raises(ReadError, match=why):
            read(folder / name)


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_a_day_that_the_calendar_lacks_is_no_date(tmp_path: Path) -> None:
    path = carts.muse(tmp_path / "m.xml", EIGHT, age="")
    text = path.read_text(encoding="latin-1")
    path.write_text(text.replace("03-06-2024", "02-31-2024"), encoding="latin-1")
    assert read(path).recorded is None
    path = carts.schiller(tmp_path / "s.xml", COUNTS, STANDARD)
    path.write_text(path.read_text().replace("20240306", "06.03.2024"))
    assert read(path).recorded == "2024-03-06"


@pytest.mark.filterwarnings("ignore::auricle.errors.ReadingNote")
def test_a_placeholder_of_a_birth_date_makes_no_age_of_a_hundred(tmp_path: Path) -> None:
    path = carts.muse(tmp_path / "m.xml", EIGHT, age="", born="01-01-1900")
    path.write_text(path.read_text(encoding="latin-1").replace("03-06-2024", "03-06-2008"), encoding="latin-1")
    assert read(path).age is None


def test_units_of_measurements_count(tmp_path: Path) -> None:
    path = carts.aecg(tmp_path / "a.xml", COUNTS, STANDARD)
    path.write_text(path.read_text().replace('value="56" unit="ms"', 'value="0.056" unit="s"'))
    assert read(path).measurements["qrs_ms"] == pytest.approx(56)


def test_leads_of_several_sequence_sets_are_not_laid_over_each_other(tmp_path: Path) -> None:
    path = carts.aecg(tmp_path / "a.xml", COUNTS, STANDARD)
    text = path.read_text()
    begin, end = text.index("<component><sequenceSet>"), text.index("</sequenceSet></component>")
    whole = text[begin:end] + "</sequenceSet></component>"
    path.write_text(text.replace(whole, whole * 2))
    with pytest.raises(ReadError, match="one after another"):
        read(path)


def test_two_subjects_of_one_birth_date_are_two(tmp_path: Path) -> None:
    path = carts.aecg(tmp_path / "a.xml", COUNTS, STANDARD, persons=2)
    path.write_text(path.read_text().replace('birthTime value="20240302"', 'birthTime value="20240303"'))
    with pytest.raises(ReadError, match="several persons"):
        read(path)


def test_the_name_in_plain_edf_is_no_identifier_of_its_first_word(tmp_path: Path) -> None:
    path = carts.edf(tmp_path / "e.edf", COUNTS, [f"ECG {lead}" for lead in STANDARD], rate_hz=500, slow=False)
    content = (
        path.read_bytes()
        .replace(b"EDF+C", b"     ")
        .replace(b"P7 F 03-MAR-2024 Anna_Test", b"Anna Test 12345".ljust(26))
    )
    path.write_bytes(content)
    assert read(path).patient_id == "Anna Test 12345"


def test_a_file_of_very_uneven_leads_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = carts.schiller(tmp_path / "s.xml", COUNTS, STANDARD)
    one = "<channel><name>I</name><data>1</data></channel>"
    path.write_text(path.read_text().replace("</wavedata></event>", one * 30_000 + "</wavedata></event>"))
    with pytest.raises(ReadError, match="30012 leads of very different lengths"):
        read(path)


def test_a_unit_that_is_no_voltage_is_named_with_the_file(tmp_path: Path) -> None:
    path = carts.muse(tmp_path / "m.xml", EIGHT)
    path.write_text(path.read_text(encoding="latin-1").replace("MICROVOLTS", "FURLONGS"), encoding="latin-1")
    with pytest.raises(ReadError, match=r"m\.xml: unknown unit 'FURLONGS'"):
        read(path)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"years": "0", "months": "5"}, ["5 months"]),
        ({"years": "5", "months": "4"}, ["5 years 4 months"]),
        ({"years": "0", "days": "0"}, ["0 days"]),
        ({"years": "50"}, ["50 years"]),
        ({}, []),
    ],
)
def test_an_age_in_parts_is_all_of_them(parts: dict[str, str], expected: list[str]) -> None:
    from xml.etree.ElementTree import Element, SubElement

    from auricle.io import sierra

    person = Element("generalpatientdata")
    age = SubElement(person, "age")
    for unit, number in parts.items():
        SubElement(age, unit).text = number
    assert sierra._ages(person) == expected


def test_deflated_dicom_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "d.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99" + b"\0" * 100)
    with pytest.raises(ReadError, match="is deflated DICOM"):
        read(path)
