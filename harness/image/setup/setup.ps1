# Makes a template of a freshly installed Windows, tells the serial port how far it is, and shuts down.
#
# Started by go-on.cmd as SYSTEM, in Windows PowerShell 5.1. setup.json beside it says what is wanted;
# prepare.ps1 beside it does what every template needs (docs/prepare-windows.md).
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$script:Place = $PSScriptRoot
$script:Policies = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows'
$script:Control = 'HKLM:\SYSTEM\CurrentControlSet\Control'
# What the network list calls "Unidentified Networks": a test network has no gateway to be known by.
$script:Unidentified = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\CurrentVersion\NetworkListManager\Signatures\' +
'010103000F0000F0010000000F0000F0C967A3643C3AD745950DA7859209176EF5B87C875FA20DF21951640E807D7C24'

function Write-Serial {
    param([string] $Text)
    $port = New-Object -TypeName System.IO.Ports.SerialPort -ArgumentList @('COM1', 115200)
    $port.Open()
    try {
        $port.Write("$Text`r`n")
    } finally {
        $port.Close()
    }
}

function Write-Stage {
    param([string] $Name)
    Write-Serial -Text "pvhck stage $Name"
}

function Set-RegistryValue {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param([string] $Key, [string] $Name, [string] $Type, $Value)
    if (-not (Test-Path -LiteralPath $Key)) {
        $null = New-Item -Path $Key -Force
    }
    $null = New-ItemProperty -LiteralPath $Key -Name $Name -PropertyType $Type -Value $Value -Force
}

function Set-RegistryNumber {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param([string] $Key, [string] $Name, [int] $Value)
    Set-RegistryValue -Key $Key -Name $Name -Type 'DWord' -Value $Value
}

# Its exit code is all that is looked at: what programs print is in the language of this Windows.
function Invoke-Program {
    param([string] $Program, [string[]] $Arguments)
    $null = & $Program @Arguments
    if ($LASTEXITCODE -ne 0) {
        throw "$Program $($Arguments -join ' ') ended with $LASTEXITCODE"
    }
}

# A full dump needs a page file on the system disk that takes all memory and a little more
# (learn.microsoft.com, "Overview of memory dump file options for Windows"). NMI: prepare.ps1.
function Set-CrashDump {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param([int] $PageFileMib)
    $crash = "$script:Control\CrashControl"
    Set-RegistryNumber -Key $crash -Name 'CrashDumpEnabled' -Value 1
    Set-RegistryNumber -Key $crash -Name 'AlwaysKeepMemoryDump' -Value 1
    Set-RegistryNumber -Key $crash -Name 'Overwrite' -Value 1
    Set-RegistryNumber -Key $crash -Name 'AutoReboot' -Value 1
    $size = "$env:SystemDrive\pagefile.sys $PageFileMib $PageFileMib"
    Set-RegistryValue -Key "$script:Control\Session Manager\Memory Management" -Name 'PagingFiles' -Type 'MultiString' -Value @($size)
}

function Disable-Sleep {
    Invoke-Program -Program 'powercfg.exe' -Arguments @('/hibernate', 'off')
    foreach ($what in 'standby-timeout-ac', 'monitor-timeout-ac', 'disk-timeout-ac') {
        Invoke-Program -Program 'powercfg.exe' -Arguments @('/change', $what, '0')
    }
}

# By policy, which Windows keeps to; the service alone is started again by its own tasks.
function Disable-Update {
    Set-RegistryNumber -Key "$script:Policies\WindowsUpdate\AU" -Name 'NoAutoUpdate' -Value 1
    Set-Service -Name wuauserv -StartupType Disabled
}

# prepare.ps1's rule holds for every profile; this keeps Windows from asking, and the network from
# being Public, which closes whatever else a test needs.
function Set-NetworkProfile {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param()
    Set-RegistryNumber -Key $script:Unidentified -Name 'Category' -Value 1
    $key = "$script:Control\Network\NewNetworkWindowOff"
    if (-not (Test-Path -LiteralPath $key)) {
        $null = New-Item -Path $key -Force
    }
}

# A password that ends after 42 days would lock the harness out of every clone.
function Set-PasswordAge {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param()
    Invoke-Program -Program 'net.exe' -Arguments @('accounts', '/maxpwage:unlimited')
}

# BitLocker by itself would change the disk, and ties it to a TPM that no clone has.
function Disable-DeviceEncryption {
    Set-RegistryNumber -Key "$script:Control\BitLocker" -Name 'PreventDeviceEncryption' -Value 1
}

# Copies of the answer file keep the password, some of them readable.
function Remove-Secret {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'The script is run to make these changes.')]
    param()
    $logon = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon'
    foreach ($name in 'AutoAdminLogon', 'AutoLogonCount', 'DefaultPassword') {
        Remove-ItemProperty -LiteralPath $logon -Name $name -ErrorAction SilentlyContinue
    }
    $panther = Join-Path -Path $env:SystemRoot -ChildPath 'Panther'
    foreach ($name in 'unattend.xml', 'Unattend\unattend.xml', 'unattend-original.xml') {
        $file = Join-Path -Path $panther -ChildPath $name
        if (Test-Path -LiteralPath $file) {
            Remove-Item -LiteralPath $file -Force
        }
    }
}

function Build-Template {
    $wanted = ConvertFrom-Json -InputObject ([IO.File]::ReadAllText((Join-Path -Path $script:Place -ChildPath 'setup.json')))
    Write-Stage -Name 'winrm'
    $prepare = Join-Path -Path $script:Place -ChildPath 'prepare.ps1'
    $section = @(& $prepare -Name $wanted.name -User $wanted.user)
    Write-Stage -Name 'settings'
    Set-CrashDump -PageFileMib $wanted.pagefile_mib
    Disable-Sleep
    Disable-Update
    Set-NetworkProfile
    Set-PasswordAge
    Disable-DeviceEncryption
    if ($wanted.test_signing) {
        Write-Stage -Name 'test-signing'
        Invoke-Program -Program 'bcdedit.exe' -Arguments @('/set', '{default}', 'testsigning', 'on')
    }
    Write-Stage -Name 'clean-up'
    Remove-Secret
    Invoke-Program -Program 'schtasks.exe' -Arguments @('/delete', '/f', '/tn', 'pvhck-setup')
    foreach ($line in $section) {
        Write-Serial -Text "pvhck section $line"
    }
    Write-Stage -Name 'done'
    # the folder goes in the time that is left: this script lies in it
    Invoke-Program -Program 'shutdown.exe' -Arguments @('/s', '/t', '10')
    Remove-Item -LiteralPath $script:Place -Recurse -Force -ErrorAction SilentlyContinue
}

try {
    Build-Template
} catch {
    $why = "$_" -replace '[^\x20-\x7e]', '?'
    Write-Serial -Text "pvhck stage failed: $why"
    exit 1
}
