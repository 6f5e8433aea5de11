"""Writers of what carts export, in their native layouts after published schemas: one person, one trace, every format.

None of them shares code with the readers, so that a mistake in a layout shows.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]

# Of every file: born on 3 March 2024, recorded on the 6th at 14:20:05, a girl; band .05 to 150 Hz.
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def muse(path: Path, counts: Counts, leads: Sequence[str] = EIGHT, rate_hz: int = 500, age: str = "3",
         unit: str = "DAYS", per_count: str = "4.88", born: str = "03-03-2024", extra: str = "") -> Path:  # fmt: skip
    """MUSE XML as `restecg.dtd` has it: a median beat of zeros, then the rhythm."""

    def wave(kind: str, rows: Counts) -> str:
        data = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(row)}</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>"
            f"<LeadSampleCountTotal>{len(row)}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{per_count}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{lead}</LeadID>"
            f"<FirstSampleBaseline>0</FirstSampleBaseline><LeadSampleSize>2</LeadSampleSize>"
            f"<WaveFormData>\n{base64.encodebytes(row.astype('<i2').tobytes()).decode()}</WaveFormData></LeadData>"
            for lead, row in zip(leads, rows, strict=True)
        )
        return (
            f"<Waveform><WaveformType>{kind}</WaveformType><NumberofLeads>{len(leads)}</NumberofLeads>"
            f"<SampleType>CONTINUOUS_SAMPLES</SampleType><SampleBase>{rate_hz}</SampleBase>"
            f"<SampleExponent>0</SampleExponent><HighPassFilter>5</HighPassFilter><LowPassFilter>150</LowPassFilter>"
            f"<ACFilter>50</ACFilter>{data}</Waveform>"
        )

    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
        f"<PatientDemographics><PatientID>P7</PatientID><PatientAge>{age}</PatientAge><AgeUnits>{unit}</AgeUnits>"
        f"<DateofBirth>{born}</DateofBirth><Gender>FEMALE</Gender></PatientDemographics>{extra}"
        "<TestDemographics><AcquisitionTime>14:20:05</AcquisitionTime>"
        "<AcquisitionDate>03-06-2024</AcquisitionDate></TestDemographics>"
        "<RestingECGMeasurements><VentricularRate>150</VentricularRate><PRInterval>98</PRInterval>"
        "<QRSDuration>56</QRSDuration><QTInterval>262</QTInterval><RAxis>135</RAxis></RestingECGMeasurements>"
        "<Diagnosis><DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>Normal sinus rhythm</StmtText>"
        "</DiagnosisStatement><DiagnosisStatement><StmtText>Right ventricular</StmtText></DiagnosisStatement>"
        "<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>hypertrophy</StmtText></DiagnosisStatement>"
        f"</Diagnosis>{wave('Median', counts[:, :600] * 0)}{wave('Rhythm', counts)}</RestingECG>",
        encoding="latin-1",
    )
    return path


def cardiosoft(path: Path, counts: Counts, leads: Sequence[str], rate_hz: int = 500, microvolts: str = "4.88") -> Path:
    """CardioSoft XML as the UK Biobank publishes it."""
    rows = "".join(
        f'<WaveformData lead="{lead}">{",".join(map(str, row.tolist()))}</WaveformData>'
        for lead, row in zip(leads, counts, strict=True)
    )
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?><CardiologyXML><ObservationType>RestECG</ObservationType>'
        "<ObservationDateTime><Hour>14</Hour><Minute>20</Minute><Second>5</Second><Day>6</Day><Month>3</Month>"
        '<Year>2024</Year></ObservationDateTime><PatientInfo><PID>P7</PID><Age units="days">3</Age>'
        "<BirthDateTime><Day>3</Day><Month>3</Month><Year>2024</Year></BirthDateTime><Gender>FEMALE</Gender>"
        '</PatientInfo><FilterSetting><CubicSpline>no</CubicSpline><LowPass units="Hz">150</LowPass></FilterSetting>'
        "<Interpretation><Diagnosis><DiagnosisText>Normal sinus rhythm</DiagnosisText></Diagnosis></Interpretation>"
        '<RestingECGMeasurements><VentricularRate units="BPM">150</VentricularRate>'
        '<PQInterval units="ms">98</PQInterval>'
        '<QRSDuration units="ms">56</QRSDuration><QTInterval units="ms">262</QTInterval></RestingECGMeasurements>'
        f'<StripData><NumberOfLeads>{len(leads)}</NumberOfLeads><SampleRate units="Hz">{rate_hz}</SampleRate>'
        f"<ChannelSampleCountTotal>{counts.shape[1]}</ChannelSampleCountTotal>"
        f'<Resolution units="uVperLsb">{microvolts}</Resolution>{rows}</StripData></CardiologyXML>',
        encoding="latin-1",
    )
    return path


def schiller(path: Path, counts: Counts, leads: Sequence[str], rate_hz: int = 500, microvolts: str = "5") -> Path:
    """Schiller XML with the elements that public readers use."""
    rows = "".join(
        f"<channel><name>{lead}</name><datastype>COMMASEPARATE</datastype>"
        f"<data>{','.join(map(str, row.tolist()))}</data></channel>"
        for lead, row in zip(leads, counts, strict=True)
    )
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?><examdescript><patdata><id>P7</id><birthdate>20240303</birthdate>'
        "<gender>Female</gender></patdata><examination><startdatetime><date>20240306</date><time>142005</time>"
        "</startdatetime></examination><eventdata><event><wavedata><type>ECG_AVERAGES</type></wavedata><wavedata>"
        f"<type>ECG_RHYTHMS</type><resolution><samplerate><value>{rate_hz}</value><exponent>1</exponent></samplerate>"
        f"<yres><unitperbit>{microvolts}</unitperbit><units>uV</units></yres></resolution>{rows}</wavedata></event>"
        "</eventdata></examdescript>",
        encoding="utf-8",
    )
    return path


def aecg(path: Path, counts: Counts, leads: Sequence[str], rate_hz: int = 500, microvolts: str = "5",
         persons: int = 1) -> Path:  # fmt: skip
    """HL7 aECG with a rhythm and its filters."""

    def leaf(code: str, value: str, unit: str) -> str:
        return f'<code code="{code}"/><value xsi:type="PQ" value="{value}" unit="{unit}"/>'

    rows = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead}"/><value xsi:type="SLIST_PQ">'
        '<origin value="0" unit="uV"/>'
        f'<scale value="{microvolts}" unit="uV"/><digits>{" ".join(map(str, row.tolist()))}</digits></value>'
        "</sequence></component>"
        for lead, row in zip(leads, counts, strict=True)
    )
    band = "".join(
        f'<controlVariable><controlVariable><code code="MDC_ECG_CTL_VBL_ATTR_FILTER_{which}"/><component>'
        f"<controlVariable>{leaf('MDC_ECG_CTL_VBL_ATTR_FILTER_CUTOFF_FREQ', hertz, 'Hz')}</controlVariable>"
        "</component></controlVariable></controlVariable>"
        for which, hertz in (("LOW_PASS", "150"), ("HIGH_PASS", "0.05"))
    )
    person = "".join(
        f"<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject>"
        f'<id extension="P{7 + n}"/>'
        '<subjectDemographicPerson><administrativeGenderCode code="F"/>'
        f'<birthTime value="2024030{3 - n}"/></subjectDemographicPerson></trialSubject></subject></subjectAssignment>'
        "</componentOf></timepointEvent></componentOf>"
        for n in range(persons)
    )
    path.write_text(
        '<?xml version="1.0"?><AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<effectiveTime><low value="20240306142005"/></effectiveTime>{person}<component><series>'
        f'<code code="RHYTHM"/>{band}<component><sequenceSet><component><sequence><code code="TIME_ABSOLUTE"/>'
        f'<value xsi:type="GLIST_TS"><head value="20240306142005"/><increment value="{1 / rate_hz:.6f}" unit="s"/>'
        f"</value></sequence></component>{rows}</sequenceSet></component><subjectOf><annotationSet><component>"
        f"<annotation>{leaf('MDC_ECG_TIME_PD_QRS', '56', 'ms')}</annotation></component><component><annotation>"
        '<code code="MDC_ECG_INTERPRETATION_STATEMENT"/><value xsi:type="ST">Normal sinus rhythm</value></annotation>'
        "</component></annotationSet></subjectOf></series></component></AnnotatedECG>",
        encoding="utf-8",
    )
    return path


def ishne(path: Path, counts: Counts, codes: Sequence[int], rate_hz: int = 200, nanovolts: int = 5000) -> Path:
    """ISHNE 1.0 with a variable block before the samples."""
    n, block = len(codes), b"Recorder of a test\0"
    pad = [-9] * (12 - n)
    header = struct.pack("<4ih", len(block), counts.shape[1], 522, 522 + len(block), 1)
    header += b"Anna".ljust(40, b"\0") + b"Test".ljust(40, b"\0") + b"P7".ljust(20, b"\0") + struct.pack("<2h", 2, 0)
    header += struct.pack("<12h", 3, 3, 2024, 6, 3, 2024, 6, 3, 2024, 14, 20, 5)
    header += struct.pack("<h12h12h12h", n, *codes, *pad, *([0] * n), *pad, *([nanovolts] * n), *pad)
    header += struct.pack("<h40sh80s80s88s", 0, b"digital", rate_hz, b"", b"", b"")
    path.write_bytes(b"ISHNE1.0\0\0" + header + block + counts.T.astype("<i2").tobytes())
    return path


def edf(path: Path, counts: Counts, labels: Sequence[str], rate_hz: int = 200, largest_uv: float = 10_000.0,
        slow: bool = True, prefiltering: str = "HP:0.05Hz LP:150Hz N:50Hz") -> Path:  # fmt: skip
    """EDF+C with records of a second, and a slow channel of its own rate beside the leads."""
    names = [*labels, *(["Resp"] if slow else [])]
    rates = [rate_hz] * len(labels) + ([10] if slow else [])
    seconds = counts.shape[1] // rate_hz
    n = len(names)

    def fields(width: int, values: Sequence[object]) -> bytes:
        return b"".join(str(value).ljust(width).encode("ascii") for value in values)

    header = b"0       " + fields(80, ["P7 F 03-MAR-2024 Anna_Test", "Startdate 06-MAR-2024 X X X"])
    header += fields(8, ["06.03.24", "14.20.05", 256 * (n + 1)]) + fields(44, ["EDF+C"])
    header += fields(8, [seconds, 1]) + fields(4, [n])
    header += fields(16, names) + fields(80, ["electrode"] * n) + fields(8, ["uV"] * n)
    header += fields(8, [f"{-largest_uv:g}"] * n) + fields(8, [f"{largest_uv:g}"] * n)
    header += fields(8, [-32768] * n) + fields(8, [32767] * n)
    header += fields(80, [prefiltering] * n) + fields(8, rates) + fields(32, [""] * n)
    body = b""
    for second in range(seconds):
        body += counts[:, second * rate_hz : (second + 1) * rate_hz].astype("<i2").tobytes()
        body += b"\0\0" * 10 if slow else b""
    path.write_bytes(header + body)
    return path


def mfer(path: Path, counts: Counts, codes: Sequence[int], rate_hz: int = 500, nanovolts: int = 5000) -> Path:
    """MFER with its preamble: one frame, channel after channel, little-endian counts."""

    def tag(number: int, value: bytes) -> bytes:
        length = bytes([len(value)]) if len(value) < 128 else b"\x84" + struct.pack(">I", len(value))
        return bytes([number]) + length + value

    content = tag(0x40, b"MFR Standard 12 leads ECG".ljust(32)) + tag(0x01, b"\1")
    content += tag(0x82, b"P7") + tag(0x83, struct.pack("<BHHBB", 0, 3, 2024, 3, 3)) + tag(0x84, b"\2")
    content += tag(0x85, struct.pack("<H5B", 2024, 3, 6, 14, 20, 5))
    content += tag(0x0B, struct.pack("<BbH", 1, -4, round(10_000 / rate_hz)))
    content += tag(0x0C, struct.pack("<BbH", 0, -9, nanovolts)) + tag(0x0A, b"\0")
    content += tag(0x04, struct.pack("<I", counts.shape[1])) + tag(0x05, struct.pack("<H", len(codes)))
    content += tag(0x06, struct.pack("<H", 1)) + tag(0x08, struct.pack("<H", 1))
    for number, code in enumerate(codes):
        content += bytes([0x3F, number]) + tag(0, tag(0x09, struct.pack("<H", code)))[1:]
    content += tag(0x11, b"HPF=0.05") + tag(0x11, b"LPF=150") + tag(0x1E, counts.astype("<i2").tobytes())
    path.write_bytes(content + b"\x80\0")
    return path


def scp(path: Path, counts: Counts, codes: Sequence[int], rate_hz: int = 500, nanovolts: int = 5000,
        age: tuple[int, int] = (3, 4)) -> Path:  # fmt: skip
    """SCP-ECG version 1.3: a person, leads sampled together, second differences in the standard's own Huffman code."""
    sections = {
        1: _scp_person(age),
        2: struct.pack("<H", 19999),
        3: bytes([len(codes), 4 | len(codes) << 3])
        + b"".join(struct.pack("<IIB", 1, counts.shape[1], code) for code in codes),
        6: _scp_rhythm(counts, rate_hz, nanovolts),
        7: struct.pack("<BBHH", 1, 0, 400, 0) + struct.pack("<5H3h", 20, 90, 118, 174, 380, 60, 135, 40),
    }
    begin = 6 + 16 + 10 * (len(sections) + 1)
    table, bodies, place = struct.pack("<HII", 0, begin - 6, 7), b"", begin
    for number, body in sections.items():
        body += b"\0" * (len(body) % 2)
        whole = _scp_header(number, len(body) + 16) + body
        table += struct.pack("<HII", number, len(whole), place + 1)
        bodies, place = bodies + whole, place + len(whole)
    path.write_bytes(struct.pack("<HI", 0, place) + _scp_header(0, begin - 6, b"SCPECG") + table + bodies)
    return path


def _scp_header(number: int, length: int, name: bytes = b"") -> bytes:
    return struct.pack("<HHIBB", 0, number, length, 13, 13) + name.ljust(6, b"\0")


def _scp_person(age: tuple[int, int]) -> bytes:
    values = {
        2: b"P7\0", 4: struct.pack("<HB", *age), 5: struct.pack("<HBB", 2024, 3, 3), 8: b"\2",
        25: struct.pack("<HBB", 2024, 3, 6), 26: bytes([14, 20, 5]), 27: struct.pack("<H", 5),
        28: struct.pack("<H", 150),
    }  # fmt: skip
    return b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in values.items()) + b"\xff\0\0"


def _scp_rhythm(counts: Counts, rate_hz: int, nanovolts: int) -> bytes:
    coded = []
    for row in counts.astype(int).tolist():
        second = row[:2] + [row[n] - 2 * row[n - 1] + row[n - 2] for n in range(2, len(row))]
        bits = "".join(map(_scp_bits, second))
        bits += "0" * (-len(bits) % 16)
        coded.append(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    sizes = struct.pack(f"<{len(coded)}H", *map(len, coded))
    return struct.pack("<HHBB", nanovolts, round(1e6 / rate_hz), 2, 0) + sizes + b"".join(coded)


def _scp_bits(value: int) -> str:
    """The code of the standard's table C.4: 0, sums of ones up to 8 with a sign, then plain 8 or 16 bits."""
    if value == 0:
        return "0"
    if abs(value) <= 8:
        return "1" * abs(value) + "0" + ("1" if value < 0 else "0")
    if -128 <= value <= 127:
        return "1111111110" + f"{value & 0xFF:08b}"
    return "1111111111" + f"{value & 0xFFFF:016b}"
